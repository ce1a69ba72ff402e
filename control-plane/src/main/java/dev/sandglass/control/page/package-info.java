/**
 * What the server says about itself to people: the OpenAPI document, the page that shows it, and the page that goes
 * through the life of sandboxes. Everything comes from the class path, nothing from other servers. It knows no feature.
 */
@NullMarked
package dev.sandglass.control.page;

import org.jspecify.annotations.NullMarked;
