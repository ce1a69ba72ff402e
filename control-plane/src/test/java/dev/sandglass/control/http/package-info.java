@NullMarked
package dev.sandglass.control.http;

import org.jspecify.annotations.NullMarked;
