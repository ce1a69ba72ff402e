@NullMarked
package dev.sandglass.control.sandbox;

import org.jspecify.annotations.NullMarked;
