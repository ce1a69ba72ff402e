/**
 * Holds traffic and openapi.yaml together, for the tests of other modules: their HTTP client is wrapped in a
 * {@link dev.sandglass.contract.check.CheckedHttpClient}, which compares each request, answer and WebSocket message with
 * the document; an extension of JUnit fails the test in which they differ. It knows nothing of the server but the
 * document.
 */
@NullMarked
package dev.sandglass.contract.check;

import org.jspecify.annotations.NullMarked;
