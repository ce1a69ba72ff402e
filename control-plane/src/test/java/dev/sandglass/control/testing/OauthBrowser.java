package dev.sandglass.control.testing;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.Map;

/** Logs in through a provider one step at a time, as a browser would. */
public record OauthBrowser(URI plane, String provider) {
    /** Where the provider is asked, and the cookie that came with it. */
    public record Begun(String location, String cookie) {
        /** The parameters of the provider's address. */
        public Map<String, String> query() {
            return FakeGithub.form(URI.create(location).getRawQuery());
        }
    }

    /** Where the browser ends. */
    public record Ended(String location, String setCookie) {
        /** What went wrong; empty when it did not. */
        public String error() {
            return location.contains("?error=") ? location.substring(location.indexOf("?error=") + 7) : "";
        }

        /** The session in the fragment. */
        public Map<String, String> session() {
            if (!location.contains("#")) {
                throw new AssertionError("not logged in: " + location);
            }
            return FakeGithub.form(location.substring(location.indexOf('#') + 1));
        }
    }

    public Begun begin() {
        HttpResponse<String> response = get(plane + "/v1/auth/oauth/" + provider, Map.of());
        if (response.statusCode() != 302) {
            throw new AssertionError(response.statusCode() + " " + response.body());
        }
        String cookie = response.headers().firstValue("Set-Cookie").orElseThrow();
        return new Begun(location(response), cookie.substring(0, cookie.indexOf(';')));
    }

    /** The provider's answer for the person of this session; an address of the control plane. */
    public static String approve(Begun begun, String session) {
        return location(get(begun.location(), Map.of("Cookie", "user_session=" + session)));
    }

    public static Ended end(String callback, Map<String, String> headers) {
        HttpResponse<String> response = get(callback, headers);
        if (response.statusCode() != 302) {
            throw new AssertionError(response.statusCode() + " " + response.body());
        }
        return new Ended(
                location(response), response.headers().firstValue("Set-Cookie").orElse(""));
    }

    /** All of it. */
    public Ended logIn(long person) {
        Begun begun = begin();
        return end(approve(begun, Long.toString(person)), Map.of("Cookie", begun.cookie()));
    }

    public static HttpResponse<String> get(String url, Map<String, String> headers) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(60));
        headers.forEach(request::header);
        try {
            return Api.client().send(request.build(), BodyHandlers.ofString());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    private static String location(HttpResponse<String> response) {
        return response.headers()
                .firstValue("Location")
                .orElseThrow(() -> new AssertionError(response.statusCode() + " " + response.body()));
    }

    /** An address of this machine that nobody listens at, for a server whose own address must be known before. */
    public static URI freeAddress() {
        try (ServerSocket socket = new ServerSocket(0)) {
            return URI.create("http://127.0.0.1:" + socket.getLocalPort());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
