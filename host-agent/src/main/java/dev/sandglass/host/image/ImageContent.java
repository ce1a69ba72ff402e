package dev.sandglass.host.image;

import java.util.SortedMap;
import java.util.TreeMap;

/**
 * An image's manifest.
 *
 * @param inputs what it was built from, {@code part.input} to value: see {@link ImageBuilder}
 * @param files by file name
 */
record ImageContent(
        SortedMap<String, String> inputs,
        SortedMap<String, FileFacts> files,
        String guestAgentVersion,
        String kernelArguments) {
    ImageContent {
        inputs = new TreeMap<>(inputs);
        files = new TreeMap<>(files);
    }
}
