/** People and teams: sign-up, log-in, passwords, log-in tokens, and how often somebody may try. Keys are not here. */
@NullMarked
package dev.sandglass.control.account;

import org.jspecify.annotations.NullMarked;
