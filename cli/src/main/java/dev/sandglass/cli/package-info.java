/**
 * The {@code sandglass} command line: one class per command, its options, output and exit code. The work is done in the
 * packages below.
 */
@NullMarked
package dev.sandglass.cli;

import org.jspecify.annotations.NullMarked;
