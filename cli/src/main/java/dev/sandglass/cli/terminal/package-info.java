/** The terminal that a person sits at: raw mode, size, signals, progress. On anything else: plain lines. */
@NullMarked
package dev.sandglass.cli.terminal;

import org.jspecify.annotations.NullMarked;
