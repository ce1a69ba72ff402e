package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.host.v1.SandboxStatus;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.Concurrently;
import dev.sandglass.control.testing.ExecClient;
import dev.sandglass.control.testing.TestPlane;
import java.io.IOException;
import java.io.InputStream;
import java.net.ConnectException;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

/** A control plane is told to stop in the middle of things. */
final class ShutdownTest {
    /** A connection that is kept, as pools of clients have them. */
    private static final class Kept implements AutoCloseable {
        private final Socket socket;

        Kept(URI url) throws IOException {
            socket = new Socket(url.getHost(), url.getPort());
            socket.setSoTimeout(30_000);
        }

        /** Status line to body; empty when the server has closed it. */
        String get(String path) throws IOException {
            socket.getOutputStream()
                    .write(("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n").getBytes(StandardCharsets.US_ASCII));
            InputStream in = socket.getInputStream();
            StringBuilder answer = new StringBuilder();
            for (int c = in.read(); c >= 0; c = in.read()) {
                answer.append((char) c);
                if (answer.toString().endsWith("}")) {
                    break;
                }
            }
            return answer.toString();
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }

    @Test
    void whatRunsIsFinishedAndNothingNewBegins() throws Exception {
        TestPlane test = TestPlane.start(Map.of("SANDGLASS_DRAIN_SECONDS", "2"));
        CountDownLatch begun = new CountDownLatch(2);
        CountDownLatch goOn = new CountDownLatch(1);
        CompletableFuture<Boolean> closed = new CompletableFuture<>();
        URI url = test.plane.url();
        try (Kept kept = new Kept(url)) {
            TestPlane.Person person = test.signUp();
            Api api = person.withKey();
            String id = api.post("/v1/sandboxes", "{}").text("id");
            String streamed = api.post("/v1/sandboxes", "{}").text("id");
            test.agent.onCreate = request -> waiting(begun, goOn);
            test.agent.onPause = sandbox -> waiting(begun, goOn);
            ExecClient stream =
                    new ExecClient(api, streamed, Map.of("Authorization", "Bearer " + person.token()), List.of());
            stream.send("{\"type\":\"start\",\"cmd\":\"cat\"}");
            assertThat(stream.next()).containsEntry("type", "start");
            CompletableFuture<Api.Answer> create = Concurrently.start(() -> api.post("/v1/sandboxes", "{}"));
            CompletableFuture<Api.Answer> pause = Concurrently.start(() -> api.post("/v1/sandboxes/" + id + "/pause"));
            Concurrently.await(begun);
            assertThat(kept.get("/readyz")).contains("200 OK");

            closed = Concurrently.start(() -> {
                test.plane.close();
                return true;
            });
            Awaitility.await().until(() -> api.get("/readyz").status() == 503);
            assertThat(api.get("/readyz").code()).isEqualTo("host_unavailable");
            assertThat(api.get("/v1/sandboxes/" + id).status())
                    .as("served while others are told")
                    .isEqualTo(200);
            Awaitility.await().ignoreExceptionsInstanceOf(IOException.class).until(() -> isRefused(url));
            String last = kept.get("/v1/sandboxes/" + id);
            assertThat(last)
                    .satisfiesAnyOf(
                            text -> assertThat(text).isEmpty(),
                            text -> assertThat(text).contains("503", "\"code\":\"host_unavailable\""));
            assertThat(stream.closeStatus()).isEqualTo(1001);
            assertThat(closed).as("requests are under way").isNotDone();
            goOn.countDown();
            assertThat(create.join().status()).isEqualTo(201);
            assertThat(pause.join().text("status")).isEqualTo("paused");
            assertThat(closed.join()).isTrue();
            assertThat(test.agent.statuses.get(id)).isEqualTo(SandboxStatus.PAUSED);
        } finally {
            goOn.countDown();
            closed.completeOnTimeout(true, 1, java.util.concurrent.TimeUnit.MINUTES)
                    .join();
            test.close();
        }
    }

    private static Optional<io.grpc.Status> waiting(CountDownLatch begun, CountDownLatch goOn) {
        begun.countDown();
        Concurrently.await(goOn);
        return Optional.empty();
    }

    private static boolean isRefused(URI url) throws IOException {
        try (Socket _ = new Socket(url.getHost(), url.getPort())) {
            return false;
        } catch (ConnectException e) {
            return true;
        }
    }
}
