/** Tests of log-in through providers, and providers of log-ins to test with. */
@NullMarked
package dev.sandglass.control.oauth;

import org.jspecify.annotations.NullMarked;
