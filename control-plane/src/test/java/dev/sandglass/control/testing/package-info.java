/** What the tests of the control plane share: a real PostgreSQL, a host agent of our own in memory, an HTTP client. */
@NullMarked
package dev.sandglass.control.testing;

import org.jspecify.annotations.NullMarked;
