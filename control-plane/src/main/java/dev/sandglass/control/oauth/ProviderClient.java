package dev.sandglass.control.oauth;

import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.http.Json;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * HTTP to providers, whom nobody here trusts to be quick or brief: all calls of one log-in share a deadline, an answer
 * has a largest size, and redirects are not followed, since they would carry credentials elsewhere. Used by many threads.
 */
final class ProviderClient implements AutoCloseable {
    /** For all calls of one log-in together; a person is waiting, and GitHub answers in well under a second each. */
    static final Duration PATIENCE = Duration.ofSeconds(10);

    /** A profile has about 2 KiB. */
    static final int ANSWER_BYTES_MAX = 256 << 10;

    private final Duration patience;
    private @Nullable HttpClient http; // made when first used, which most installations never do

    ProviderClient(Duration patience) {
        this.patience = patience;
    }

    private synchronized HttpClient http() {
        if (http == null) {
            http = HttpClient.newBuilder()
                    .version(HttpClient.Version.HTTP_1_1)
                    .followRedirects(HttpClient.Redirect.NEVER)
                    .connectTimeout(patience)
                    .build();
        }
        return http;
    }

    /** The calls of one log-in; their time begins now. */
    Calls begin() {
        return new Calls(System.nanoTime() + patience.toNanos());
    }

    /** Used by one thread. */
    final class Calls {
        private final long deadline;

        private Calls(long deadline) {
            this.deadline = deadline;
        }

        /**
         * The answer to {@code request}, out of JSON.
         *
         * @param what is being asked for, for the log
         * @throws ProviderFailure for every answer but 200 with such JSON, in time
         */
        <T> T json(String what, HttpRequest.Builder request, Class<T> type) {
            HttpResponse<byte[]> response = await(what, request.build());
            if (response.statusCode() != 200) {
                throw new ProviderFailure(what + ": the provider answered " + response.statusCode());
            }
            try {
                return Json.read(response.body(), type);
            } catch (PlatformException e) {
                throw new ProviderFailure(what + ": the provider's answer is not the JSON it should be");
            }
        }

        private HttpResponse<byte[]> await(String what, HttpRequest request) {
            CompletableFuture<HttpResponse<byte[]>> answer =
                    http().sendAsync(request, BodyHandlers.limiting(BodyHandlers.ofByteArray(), ANSWER_BYTES_MAX));
            try {
                return answer.get(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
            } catch (TimeoutException e) {
                answer.cancel(true); // closes the connection
                throw new ProviderFailure(what + ": no whole answer within " + patience.toMillis() + " ms");
            } catch (ExecutionException e) {
                Throwable cause = e.getCause() == null ? e : e.getCause();
                String kind = cause.getClass().getSimpleName(); // its message may hold what the provider sent
                throw new ProviderFailure(what + ": " + kind + " on the way to the provider or back");
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                answer.cancel(true);
                throw new ProviderFailure(what + ": interrupted");
            }
        }
    }

    @Override
    public synchronized void close() {
        if (http != null) {
            http.shutdownNow();
        }
    }
}
