package dev.sandglass.contract.check;

import java.io.IOException;
import java.net.Authenticator;
import java.net.CookieHandler;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandler;
import java.net.http.HttpResponse.PushPromiseHandler;
import java.net.http.WebSocket;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.Predicate;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;

/**
 * A client that does what the one behind it does, and compares all of it with the document. Differences do not change
 * what the caller sees; {@link ContractExtension} fails the test. Bodies are kept as they pass by and never waited for: an
 * answer that the caller reads later is compared without its body.
 */
public final class CheckedHttpClient extends HttpClient {
    private final HttpClient client;
    private final Predicate<URI> concerned;

    private CheckedHttpClient(HttpClient client, Predicate<URI> concerned) {
        this.client = client;
        this.concerned = concerned;
    }

    /**
     * A client that compares.
     *
     * @param concerned whether an address is one of the server's; others are left alone
     */
    public static HttpClient around(HttpClient client, Predicate<URI> concerned) {
        return new CheckedHttpClient(client, concerned);
    }

    @Override
    public <T> HttpResponse<T> send(HttpRequest request, BodyHandler<T> handler)
            throws IOException, InterruptedException {
        if (!concerned.test(request.uri())) {
            return client.send(request, handler);
        }
        Passing passing = new Passing(request);
        HttpResponse<T> response = client.send(passing.request(), passing.handler(handler));
        passing.ended(response);
        return response;
    }

    @Override
    public <T> CompletableFuture<HttpResponse<T>> sendAsync(HttpRequest request, BodyHandler<T> handler) {
        if (!concerned.test(request.uri())) {
            return client.sendAsync(request, handler);
        }
        Passing passing = new Passing(request);
        return client.sendAsync(passing.request(), passing.handler(handler)).thenApply(response -> {
            passing.ended(response);
            return response;
        });
    }

    @Override
    public <T> CompletableFuture<HttpResponse<T>> sendAsync(
            HttpRequest request, BodyHandler<T> handler, PushPromiseHandler<T> pushes) {
        throw new UnsupportedOperationException("pushes are not checked");
    }

    @Override
    public WebSocket.Builder newWebSocketBuilder() {
        return new CheckedWebSocket.Builder(client.newWebSocketBuilder(), concerned);
    }

    // ---- the rest is the client's own

    @Override
    public Optional<CookieHandler> cookieHandler() {
        return client.cookieHandler();
    }

    @Override
    public Optional<Duration> connectTimeout() {
        return client.connectTimeout();
    }

    @Override
    public Redirect followRedirects() {
        return client.followRedirects();
    }

    @Override
    public Optional<ProxySelector> proxy() {
        return client.proxy();
    }

    @Override
    public SSLContext sslContext() {
        return client.sslContext();
    }

    @Override
    public SSLParameters sslParameters() {
        return client.sslParameters();
    }

    @Override
    public Optional<Authenticator> authenticator() {
        return client.authenticator();
    }

    @Override
    public Version version() {
        return client.version();
    }

    @Override
    public Optional<Executor> executor() {
        return client.executor();
    }

    @Override
    public void shutdown() {
        client.shutdown();
    }

    @Override
    public boolean awaitTermination(Duration duration) throws InterruptedException {
        return client.awaitTermination(duration);
    }

    @Override
    public boolean isTerminated() {
        return client.isTerminated();
    }

    @Override
    public void shutdownNow() {
        client.shutdownNow();
    }

    @Override
    public void close() {
        client.close();
    }
}
