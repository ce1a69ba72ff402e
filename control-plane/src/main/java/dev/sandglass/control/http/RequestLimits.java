package dev.sandglass.control.http;

/**
 * How much may be asked of the API; what is beyond is refused with 429 and can be tried again. Far above what clients do
 * that behave, so that one that does not leaves something for the others.
 *
 * @param perCredential requests per second with one key, or of one logged-in person
 * @param perTeam requests per second with all credentials of a team
 * @param perAddress requests per second from one address without a valid credential
 * @param teamAtOnce requests of a team under way at the same time
 */
public record RequestLimits(int perCredential, int perTeam, int perAddress, int teamAtOnce) {
    public RequestLimits {
        if (perCredential < 1 || perTeam < 1 || perAddress < 1 || teamAtOnce < 1) {
            throw new IllegalArgumentException("a limit below one lets nobody in");
        }
    }
}
