/**
 * Log-in with somebody else's account: providers such as GitHub behind one interface, the state that ties an answer to
 * the browser that asked, and the page that takes the result. Which user an identity belongs to is decided by the
 * accounts, in {@link dev.sandglass.control.account}.
 */
@NullMarked
package dev.sandglass.control.oauth;

import org.jspecify.annotations.NullMarked;
