/** Requests that carry an Idempotency-Key: the key's rows, and answers that are given again. What a request makes is not its business. */
@NullMarked
package dev.sandglass.control.idempotency;

import org.jspecify.annotations.NullMarked;
