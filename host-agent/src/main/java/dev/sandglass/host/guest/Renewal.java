package dev.sandglass.host.guest;

import java.time.InstantSource;

/**
 * What makes a booted, cloned or resumed guest an individual.
 *
 * @param token 32 bytes, the only ones valid afterwards
 * @param clock read at the last moment before it is sent
 * @param entropy 32 to 512 random bytes, used once
 * @param hostname 1 to 63 of {@code [a-z0-9-]}; empty leaves it as it is
 * @param thaw whether user processes go on afterwards, once the clock is known to be right; one more round trip, so false
 *     where there are none (a clone of a template)
 * @param keepConnections whether the TCP connections of user processes stay, and with an unchanged token ours too: only
 *     when the guest stood still for a moment and is where it was. Otherwise those that lead out of the guest are reset
 */
@SuppressWarnings("ArrayRecordComponent") // secrets: compared nowhere, copied on the way in
public record Renewal(
        byte[] token, InstantSource clock, byte[] entropy, String hostname, boolean thaw, boolean keepConnections) {
    public Renewal {
        token = token.clone();
        entropy = entropy.clone();
        if (token.length != GuestClient.TOKEN_BYTES) {
            throw new IllegalArgumentException("a guest's token has " + GuestClient.TOKEN_BYTES + " bytes");
        }
    }

    /** After a pause, or of a clone. */
    public Renewal(byte[] token, InstantSource clock, byte[] entropy, String hostname, boolean thaw) {
        this(token, clock, entropy, hostname, thaw, false);
    }

    /** Without the secrets. */
    @Override
    public String toString() {
        return "Renewal[hostname=" + hostname + ", thaw=" + thaw + ", keepConnections=" + keepConnections + "]";
    }
}
