package dev.sandglass.control.http;

/** Who may use a route. */
public enum Access {
    /** Everybody. */
    OPEN,
    /** A person who has logged in; a team's key is not enough. */
    USER,
    /** A team's key, or a person who has logged in. */
    TEAM,
    /** As TEAM; the token may also come in Sec-WebSocket-Protocol, since browsers cannot set headers there. */
    TEAM_WEBSOCKET
}
