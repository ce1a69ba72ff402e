/** Tests of the command line against a small server of their own, and of the script against real machines' faults. */
@NullMarked
package dev.sandglass.cli;

import org.jspecify.annotations.NullMarked;
