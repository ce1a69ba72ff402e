/**
 * Long-lived children that outlive this program, their identity, their exit status, and the control groups they live
 * in. Knows nothing of what runs in them.
 */
@NullMarked
package dev.sandglass.host.process;

import org.jspecify.annotations.NullMarked;
