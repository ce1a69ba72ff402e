package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.Concurrently;
import dev.sandglass.control.testing.RawHttp;
import dev.sandglass.control.testing.TestPlane;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** How much one caller gets. The numbers here are small; the defaults are in ControlPlaneConfigurationTest. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class LimitsTest {
    private static final String SANDBOXES = "/v1/sandboxes";
    private static final int PROVIDER_STEPS = 4;
    private static final int AT_ONCE = 60;

    private TestPlane test;

    @BeforeAll
    void start() {
        test = TestPlane.start(Map.ofEntries(
                Map.entry("SANDGLASS_ATTEMPTS_PER_ADDRESS", "100"),
                Map.entry("SANDGLASS_OAUTH_STEPS_PER_ADDRESS", Integer.toString(PROVIDER_STEPS)),
                Map.entry("CP_PUBLIC_URL", "https://sandbox.example.org"),
                Map.entry("OAUTH_GITHUB_CLIENT_ID", "id"),
                Map.entry("OAUTH_GITHUB_CLIENT_SECRET", "secret"),
                Map.entry("SANDGLASS_TEAM_SANDBOXES_MAX", "10"),
                Map.entry("SANDGLASS_TEAM_VCPUS_MAX", "12"),
                Map.entry("SANDGLASS_TEAM_REQUESTS_MAX", Integer.toString(AT_ONCE))));
    }

    @AfterAll
    void stop() {
        test.close();
    }

    private static String credentials(String email) {
        return "{\"email\":\"" + email + "\",\"password\":\"whatever it is\"}";
    }

    private static Api.Answer logIn(TestPlane at, String email, String forwardedFor) {
        return at.api().with("X-Forwarded-For", forwardedFor).post("/v1/auth/login", credentials(email));
    }

    private static void requireRateLimited(Api.Answer answer) {
        assertThat(answer.status()).isEqualTo(429);
        assertThat(answer.code()).isEqualTo("rate_limited");
        assertThat(Integer.parseInt(answer.header("Retry-After"))).isBetween(1, 60);
        assertThat(answer.header("X-Request-Id")).isNotEmpty();
    }

    // ---- addresses

    @Test
    void attemptsCountForTheAddressThatATrustedProxySays() {
        try (TestPlane strict = TestPlane.start(Map.of("SANDGLASS_ATTEMPTS_PER_ADDRESS", "3"))) {
            for (int i = 0; i < 3; i++) {
                assertThat(logIn(strict, i + "@example.org", "198.51.100.1").status())
                        .isEqualTo(401);
            }
            requireRateLimited(logIn(strict, "x@example.org", "198.51.100.1"));
            requireRateLimited(logIn(strict, "y@example.org", "9.9.9.9, 198.51.100.1")); // what it made up
            assertThat(logIn(strict, "z@example.org", "198.51.100.2").status()).isEqualTo(401);
            for (int i = 0; i < 3; i++) {
                logIn(strict, i + "b@example.org", "2001:db8::" + i);
            }
            requireRateLimited(logIn(strict, "v@example.org", "2001:db8::77"));
        }
    }

    @Test
    void whoIsNoProxyCountsByItself() throws IOException {
        try (TestPlane direct = TestPlane.start(Map.of(
                "SANDGLASS_ATTEMPTS_PER_ADDRESS", "3",
                "SANDGLASS_HTTP_CONNECTIONS_PER_ADDRESS", "12",
                "SANDGLASS_TRUSTED_PROXIES", "192.0.2.1"))) {
            for (int i = 0; i < 3; i++) {
                assertThat(logIn(direct, i + "@example.org", "198.51.100." + i).status())
                        .isEqualTo(401);
            }
            requireRateLimited(logIn(direct, "x@example.org", "198.51.100.77"));
            requireFewConnections(direct);
        }
    }

    private static void requireFewConnections(TestPlane direct) throws IOException {
        List<RawHttp> open = new ArrayList<>();
        try {
            for (int i = 0; i < 30; i++) {
                open.add(new RawHttp(direct.plane.url()));
            }
            int served = 0;
            for (RawHttp connection : open) {
                connection.trySend("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
                try {
                    served += connection.answer().startsWith("HTTP/1.1 200") ? 1 : 0;
                } catch (IOException e) {
                    // it was one too many
                }
            }
            assertThat(served).isBetween(1, 12);
        } finally {
            open.forEach(RawHttp::close);
        }
        Awaitility.await()
                .atMost(Duration.ofSeconds(30))
                .until(() -> RawHttp.exchange(
                                direct.plane.url(), "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                        .startsWith("HTTP/1.1 200"));
    }

    @Test
    void logInsThroughProvidersAreCounted() {
        Api one = test.api().with("X-Forwarded-For", "198.51.100.10");
        for (int i = 0; i < PROVIDER_STEPS; i++) {
            assertThat(one.get("/v1/auth/oauth/github" + (i % 2 == 0 ? "" : "/callback?state=x"))
                            .status())
                    .isEqualTo(302);
        }
        requireRateLimited(one.get("/v1/auth/oauth/github"));
        requireRateLimited(one.get("/v1/auth/oauth/github/callback?state=x&code=y"));
        Api other = test.api().with("X-Forwarded-For", "198.51.100.11");
        assertThat(other.get("/v1/auth/oauth/github").status()).isEqualTo(302);
        assertThat(one.get("/v1/auth/oauth/nobody").code()).isEqualTo("provider_not_found");
    }

    @Test
    void longNamesThatNobodyHasAreCountedTogether() {
        try (TestPlane strict = TestPlane.start(Map.of("SANDGLASS_ATTEMPTS_PER_ACCOUNT", "3"))) {
            for (int i = 0; i < 3; i++) {
                assertThat(logIn(strict, i + "a".repeat(3000) + "@example.org", "198.51.100.1")
                                .status())
                        .isEqualTo(401);
            }
            requireRateLimited(logIn(strict, "a".repeat(3000) + "@example.org", "198.51.100.2"));
        }
    }

    // ---- requests

    @Test
    void requestsAreCountedAndTheNextSecondIsAnotherOne() throws InterruptedException {
        try (TestPlane strict = TestPlane.start(Map.of(
                "SANDGLASS_REQUESTS_PER_CREDENTIAL", "5",
                "SANDGLASS_REQUESTS_PER_ADDRESS", "5"))) {
            TestPlane.Person person = strict.signUp();
            List<Api.Answer> answers =
                    Concurrently.run(200, i -> person.withKey().get(SANDBOXES));
            assertThat(answers).anyMatch(answer -> answer.status() == 200);
            List<Api.Answer> refused =
                    answers.stream().filter(answer -> answer.status() != 200).toList();
            assertThat(refused).isNotEmpty().allSatisfy(LimitsTest::requireRateLimited);
            assertThat(person.withToken().get(SANDBOXES).status()).isEqualTo(200); // another credential
            Thread.sleep(Integer.parseInt(refused.getFirst().header("Retry-After")) * 1000L);
            assertThat(person.withKey().get(SANDBOXES).status()).isEqualTo(200);

            Api guesser = strict.api().with("X-Forwarded-For", "198.51.100.1");
            List<Api.Answer> guesses = Concurrently.run(
                    200, i -> guesser.withKey("sgk_" + "x".repeat(40)).get(SANDBOXES));
            assertThat(guesses).allMatch(answer -> answer.status() == 401 || answer.status() == 429);
            assertThat(guesses.stream().filter(answer -> answer.status() == 429))
                    .isNotEmpty()
                    .allSatisfy(LimitsTest::requireRateLimited);
            assertThat(guesser.withKey(keyOf(person)).get(SANDBOXES).status()).isEqualTo(200);
        }
    }

    private static String keyOf(TestPlane.Person person) {
        return person.withToken().post("/v1/api-keys").text("key");
    }

    @Test
    void requestsOfATeamAtTheSameTimeAreBounded() throws InterruptedException {
        TestPlane.Person busy = test.signUp();
        CountDownLatch go = new CountDownLatch(1);
        String sandbox = busy.withKey().post(SANDBOXES, "{}").text("id");
        test.agent.onPause = id -> {
            try {
                go.await(60, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            return Optional.empty();
        };
        List<Thread> waiting = new ArrayList<>();
        try {
            for (int i = 0; i < AT_ONCE; i++) {
                waiting.add(Thread.ofVirtual().start(() -> busy.withKey().post(SANDBOXES + "/" + sandbox + "/pause")));
            }
            Awaitility.await()
                    .atMost(Duration.ofSeconds(30))
                    .untilAsserted(() -> requireRateLimited(busy.withToken().get(SANDBOXES)));
            assertThat(test.signUp().withKey().get(SANDBOXES).status()).isEqualTo(200);
        } finally {
            go.countDown();
            test.agent.onPause = id -> Optional.empty();
        }
        for (Thread thread : waiting) {
            thread.join();
        }
        assertThat(busy.withKey().get(SANDBOXES).status()).isEqualTo(200);
    }

    // ---- quotas

    private static List<Api.Answer> createFifty(Api api, String body) {
        return Concurrently.run(50, i -> api.post(SANDBOXES, body));
    }

    private static void requireOverQuota(List<Api.Answer> answers, int fit, String limit) {
        assertThat(answers.stream().filter(answer -> answer.status() == 201)).hasSize(fit);
        assertThat(answers.stream().filter(answer -> answer.status() != 201))
                .hasSize(answers.size() - fit)
                .allSatisfy(answer -> {
                    assertThat(answer.status()).isEqualTo(429);
                    assertThat(answer.code()).isEqualTo("quota_exceeded");
                    assertThat(answer.body()).contains(limit);
                });
    }

    @Test
    void fiftyCreatesAtOnceDoNotExceedTheNumberOfSandboxes() {
        TestPlane.Person person = test.signUp();
        requireOverQuota(createFifty(person.withKey(), "{\"memory_mb\":128}"), 10, "10 sandboxes");
        assertThat(person.withKey().get(SANDBOXES).list()).hasSize(10);
        String one =
                String.valueOf(person.withKey().get(SANDBOXES).list().getFirst().get("id"));
        person.withKey().post(SANDBOXES + "/" + one + "/pause");
        assertThat(person.withKey().post(SANDBOXES, "{\"memory_mb\":128}").status())
                .as("a paused one counts")
                .isEqualTo(429);
        person.withKey().delete(SANDBOXES + "/" + one);
        assertThat(person.withKey().post(SANDBOXES, "{\"memory_mb\":128}").status())
                .isEqualTo(201);
    }

    @Test
    void fiftyCreatesAtOnceDoNotExceedTheVcpus() {
        Api api = test.signUp().withKey();
        requireOverQuota(createFifty(api, "{\"vcpus\":4,\"memory_mb\":128}"), 3, "12 vcpus");
        assertThat(api.post(SANDBOXES, "{\"memory_mb\":128}").body()).contains("12 vcpus together, and have 12");
        String one = String.valueOf(api.get(SANDBOXES).list().getFirst().get("id"));
        assertThat(api.post(SANDBOXES + "/" + one + "/pause").status()).isEqualTo(200);
        String another = api.post(SANDBOXES, "{\"vcpus\":1,\"memory_mb\":128}").text("id"); // what is paused needs none
        Api.Answer resumed = api.post(SANDBOXES + "/" + one + "/resume");
        assertThat(resumed.code()).isEqualTo("quota_exceeded");
        assertThat(resumed.body()).contains("12 vcpus");
        api.delete(SANDBOXES + "/" + another);
        assertThat(api.post(SANDBOXES + "/" + one + "/resume").status()).isEqualTo(200);
    }
}
