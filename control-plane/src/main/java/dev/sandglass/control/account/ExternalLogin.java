package dev.sandglass.control.account;

import dev.sandglass.control.http.Caller;

/** Whether an external identity got in. */
public sealed interface ExternalLogin {
    record LoggedIn(Caller.ByUser user) implements ExternalLogin {}

    /** The identity is new, and its e-mail is another user's: who controls a mailbox does not control that account. */
    record EmailTaken() implements ExternalLogin {}
}
