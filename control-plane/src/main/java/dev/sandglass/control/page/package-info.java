/**
 * What the server says about itself to people: the OpenAPI document and the page that shows it. Everything comes from the
 * class path, nothing from other servers. It knows no feature.
 */
@NullMarked
package dev.sandglass.control.page;

import org.jspecify.annotations.NullMarked;
