/**
 * The HTTP side: server, routes, credentials, bodies, answers and errors in one envelope. It knows no feature; features
 * give it {@link dev.sandglass.control.http.Route routes}.
 */
@NullMarked
package dev.sandglass.control.http;

import org.jspecify.annotations.NullMarked;
