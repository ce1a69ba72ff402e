/** Keys by which programs act for a team. The plain text is shown once; what is kept is its SHA-256. */
@NullMarked
package dev.sandglass.control.apikey;

import org.jspecify.annotations.NullMarked;
