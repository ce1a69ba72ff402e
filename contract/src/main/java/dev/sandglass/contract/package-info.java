/**
 * What control plane, host agent and command line agree on beside the two protocols: identifiers, error codes, and the
 * failure that carries one; and how all of them release what they own ({@link Scope}).
 */
@NullMarked
package dev.sandglass.contract;

import org.jspecify.annotations.NullMarked;
