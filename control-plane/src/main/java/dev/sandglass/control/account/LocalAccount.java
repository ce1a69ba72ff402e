package dev.sandglass.control.account;

import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.Id.UserId;

/** The account of whoever started this installation on their own machine; nobody can log in to it. */
public record LocalAccount(UserId user, TeamId team, String email) {
    public static final String EMAIL = "local@sandglass.local";
}
