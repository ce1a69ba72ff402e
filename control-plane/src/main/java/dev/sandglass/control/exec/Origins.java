package dev.sandglass.control.exec;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.http.HttpRequest;
import java.net.URI;
import java.util.Optional;
import java.util.Set;

/**
 * Which pages may open a WebSocket: those of the API's public address and configured ones; without a public address those
 * of this machine. Programs send no Origin and are not concerned.
 */
public record Origins(Optional<URI> publicUrl, Set<String> allowed) {
    void require(HttpRequest request) {
        Optional<String> origin = request.header("Origin");
        if (origin.isPresent() && !isAllowed(origin.get(), request.localPort())) {
            throw new PlatformException(
                    ErrorCode.FORBIDDEN,
                    "Pages of this origin may not open a stream: add it to SANDGLASS_ALLOWED_ORIGINS.");
        }
    }

    private boolean isAllowed(String origin, int port) {
        if (allowed.contains(origin)) {
            return true;
        }
        return publicUrl
                .map(url -> originOf(url).equals(origin))
                .orElseGet(() -> Set.of("http://127.0.0.1:" + port, "http://localhost:" + port)
                        .contains(origin));
    }

    private static String originOf(URI url) {
        return url.getScheme() + "://" + url.getAuthority();
    }
}
