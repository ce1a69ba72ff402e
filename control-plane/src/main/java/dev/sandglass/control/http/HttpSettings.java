package dev.sandglass.control.http;

import java.time.Duration;

/**
 * What the server allows.
 *
 * @param idleTimeout after which a connection without traffic is closed; exec streams are pinged three times as often
 * @param arrivalTimeout within which a request's headers must have arrived, and from then on its body if it is JSON; an
 *     upload may take longer by a second for each KiB
 * @param connectionsMax connections at the same time; beyond, none is accepted until one ends
 * @param connectionsPerAddress of these from one address that is no trusted proxy; beyond, new ones are closed
 * @param proxies whose word on where a request began is taken
 */
public record HttpSettings(
        Duration idleTimeout,
        Duration arrivalTimeout,
        int connectionsMax,
        int connectionsPerAddress,
        TrustedProxies proxies,
        RequestLimits requests) {}
