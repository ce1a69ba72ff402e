@NullMarked
package dev.sandglass.control.snapshot;

import org.jspecify.annotations.NullMarked;
