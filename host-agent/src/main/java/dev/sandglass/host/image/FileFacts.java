package dev.sandglass.host.image;

/** What a manifest says of a file. */
record FileFacts(long bytes, String digest) {
    FileFacts {
        if (bytes < 0 || !digest.matches("[0-9a-f]{64}")) {
            throw new IllegalArgumentException("not a length and a digest");
        }
    }
}
