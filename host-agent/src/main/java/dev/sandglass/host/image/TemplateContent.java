package dev.sandglass.host.image;

import java.util.SortedMap;
import java.util.TreeMap;

/**
 * A template's manifest.
 *
 * @param identity of the VMM that froze it
 * @param imageDigest the image it was booted from and whose disk is the bottom of its own
 * @param guestToken what the frozen guest's agent accepts, in hex
 * @param createdUnixMillis tells the newest of several
 */
record TemplateContent(
        String id,
        Shape shape,
        SortedMap<String, String> identity,
        String imageDigest,
        String guestAgentVersion,
        String guestToken,
        long createdUnixMillis,
        FileFacts memory,
        FileFacts state,
        FileFacts disk) {
    TemplateContent {
        identity = new TreeMap<>(identity);
    }
}
