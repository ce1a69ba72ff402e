/** What operators see: metrics. Log lines are written where things happen, by slf4j, with fields and the request's id. */
@NullMarked
package dev.sandglass.control.observe;

import org.jspecify.annotations.NullMarked;
