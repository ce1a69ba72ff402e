/**
 * Commands in sandboxes: one at a time with its whole output, or as a stream over a WebSocket that can be left and taken
 * up again. The processes and what they have printed live in the guest; nothing of them is kept here.
 */
@NullMarked
package dev.sandglass.control.exec;

import org.jspecify.annotations.NullMarked;
