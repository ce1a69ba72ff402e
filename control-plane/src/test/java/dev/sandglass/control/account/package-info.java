/** Tests of accounts that need no database. */
@NullMarked
package dev.sandglass.control.account;

import org.jspecify.annotations.NullMarked;
