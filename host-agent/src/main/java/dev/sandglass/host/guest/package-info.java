/**
 * Speaks with the agent inside one guest: commands, files, clock and randomness, freezing. Knows the protocol of
 * guest.proto and its connections; does not know which sandbox a guest belongs to, how it is reached or when it may be
 * spoken to.
 */
@NullMarked
package dev.sandglass.host.guest;

import org.jspecify.annotations.NullMarked;
