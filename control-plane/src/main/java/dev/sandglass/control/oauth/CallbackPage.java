package dev.sandglass.control.oauth;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;

/**
 * The page a browser ends at after log-in, callback.html. Its one script and its one style sheet are all that its
 * Content-Security-Policy allows, by their hashes.
 */
final class CallbackPage {
    private final String html;
    private final String policy;

    CallbackPage() {
        html = read();
        policy = "default-src 'none'; script-src " + hash("script") + "; style-src " + hash("style")
                + "; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    }

    byte[] html() {
        return html.getBytes(StandardCharsets.UTF_8);
    }

    /** The value of Content-Security-Policy. */
    String policy() {
        return policy;
    }

    private String hash(String element) {
        int begin = html.indexOf("<" + element + ">") + element.length() + 2;
        String content = html.substring(begin, html.indexOf("</" + element + ">", begin));
        try {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(content.getBytes(StandardCharsets.UTF_8));
            return "'sha256-" + Base64.getEncoder().encodeToString(hash) + "'";
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("compute the hash of a " + element, e);
        }
    }

    private static String read() {
        try (InputStream in = CallbackPage.class.getResourceAsStream("callback.html")) {
            if (in == null) {
                throw new IllegalStateException("callback.html is not on the class path");
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new IllegalStateException("read callback.html", e);
        }
    }
}
