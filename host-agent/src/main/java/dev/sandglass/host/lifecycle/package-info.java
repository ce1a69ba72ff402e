/** The states one sandbox can be in on its host and which may follow which. No I/O, no threads. */
@NullMarked
package dev.sandglass.host.lifecycle;

import org.jspecify.annotations.NullMarked;
