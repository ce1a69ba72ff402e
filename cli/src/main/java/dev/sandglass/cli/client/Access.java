package dev.sandglass.cli.client;

import java.net.URI;

/** Where the API is and the key that opens it. */
public record Access(URI url, String apiKey) {
    public Access {
        String text = url.toString();
        if (text.endsWith("/")) {
            url = URI.create(text.substring(0, text.length() - 1));
        }
    }

    /** The address of {@code path}, which begins with a slash. */
    URI resolve(String path) {
        return URI.create(url + path);
    }

    @Override
    public String toString() {
        return url.toString();
    }
}
