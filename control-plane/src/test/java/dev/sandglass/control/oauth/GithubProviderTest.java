package dev.sandglass.control.oauth;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpHandler;
import dev.sandglass.control.testing.FakeGithub;
import dev.sandglass.control.testing.FakeGithub.Person;
import dev.sandglass.control.testing.OauthBrowser;
import java.io.OutputStream;
import java.net.URI;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

final class GithubProviderTest {
    private static final URI CALLBACK = URI.create("https://sandbox.example.org/v1/auth/oauth/github/callback");
    private static final String VERIFIER = "v".repeat(43);
    private static final String TOKEN = "/login/oauth/access_token";
    private static final String USER = "/api/v3/user";
    private static final String EMAILS = "/api/v3/user/emails";
    private static final Duration PATIENCE = Duration.ofMillis(1500);

    private final FakeGithub github = new FakeGithub();
    private final ProviderClient client = new ProviderClient(PATIENCE);

    @AfterEach
    void stop() {
        client.close();
        github.close();
    }

    private GithubProvider provider(String secret, URI callback) {
        return new GithubProvider(
                new GithubSettings(FakeGithub.CLIENT_ID, secret, github.url(), github.apiUrl()), callback, client);
    }

    private GithubProvider provider() {
        return provider(FakeGithub.CLIENT_SECRET, CALLBACK);
    }

    private String code(GithubProvider provider) {
        URI authorize = provider.authorizeUrl("state", LoginStates.challenge(VERIFIER));
        String answer = OauthBrowser.get(authorize.toString(), Map.of())
                .headers()
                .firstValue("Location")
                .orElseThrow();
        return FakeGithub.form(URI.create(answer).getRawQuery()).getOrDefault("code", "");
    }

    private Identity logIn(Person person) {
        github.add(person);
        return provider().exchange(code(provider()), VERIFIER);
    }

    @Test
    void theProfileSaysWhoItIs() {
        assertThat(logIn(Person.of(7, "Ada Lovelace", " Ada@Example.org ")))
                .isEqualTo(new Identity("7", "ada@example.org", "Ada Lovelace"));
        assertThat(github.requests).doesNotContain("GET " + EMAILS);
    }

    @Test
    void withoutAnAddressInTheProfileThePrimaryVerifiedOneCounts() {
        assertThat(logIn(Person.shy(8, """
                        [{"email":"other@example.org","primary":false,"verified":true,"visibility":null},
                         {"email":"Main@example.org","primary":true,"verified":true,"visibility":"private"}]""")).email()).isEqualTo("main@example.org");
    }

    @TestFactory
    Stream<DynamicTest> anAddressThatIsNotPrimaryAndVerifiedDoesNotCount() {
        return Stream.of(
                        "[]",
                        "[null]",
                        "[{}]",
                        "[{\"email\":\"a@example.org\",\"primary\":true,\"verified\":false}]",
                        "[{\"email\":\"a@example.org\",\"primary\":false,\"verified\":true}]",
                        "[{\"email\":\"a@example.org\",\"primary\":true}]",
                        "[{\"email\":null,\"primary\":true,\"verified\":true}]",
                        "[{\"email\":\"\",\"primary\":true,\"verified\":true}]",
                        "[{\"email\":\"no-at\",\"primary\":true,\"verified\":true}]",
                        "[{\"email\":\"a@example.org\",\"primary\":\"true\",\"verified\":\"true\"}]",
                        "{\"email\":\"a@example.org\",\"primary\":true,\"verified\":true}")
                .map(emails -> DynamicTest.dynamicTest(
                        emails,
                        () -> assertThatThrownBy(() -> logIn(Person.shy(9, emails)))
                                .isInstanceOf(ProviderFailure.class)));
    }

    @Test
    void aNameIsMadePrintableAndMayBeMissing() {
        assertThat(logIn(new Person(1, "{\"id\":1,\"login\":\"ada\",\"name\":null,\"email\":\"a@example.org\"}", "[]"))
                        .displayName())
                .isEqualTo("ada");
        assertThat(logIn(new Person(1, "{\"id\":1,\"email\":\"a@example.org\"}", "[]"))
                        .displayName())
                .isEqualTo("a@example.org");
        assertThat(logIn(new Person(
                                1,
                                "{\"id\":1,\"name\":\"\\u0000A\\ud800\\n𝄞\\u001b" + "x".repeat(500)
                                        + "\",\"email\":\"a@example.org\"}",
                                "[]"))
                        .displayName())
                .startsWith("A𝄞xx")
                .hasSize(201);
    }

    @Test
    void aCodeIsGoodOnceAndForItsVerifierSecretAndAddress() {
        github.add(Person.of(1, "Ada", "ada@example.org"));
        GithubProvider provider = provider();
        String code = code(provider);
        assertThatThrownBy(() -> provider.exchange(code, "w".repeat(43))).hasMessageContaining("bad_verification_code");
        assertThatThrownBy(() -> provider("wrong", CALLBACK).exchange(code, VERIFIER))
                .hasMessageContaining("incorrect_client_credentials");
        assertThatThrownBy(() -> provider(FakeGithub.CLIENT_SECRET, URI.create("https://x.example"))
                        .exchange(code, VERIFIER))
                .hasMessageContaining("redirect_uri_mismatch");
        assertThat(provider.exchange(code, VERIFIER).providerId()).isEqualTo("1");
        assertThatThrownBy(() -> provider.exchange(code, VERIFIER)).hasMessageContaining("bad_verification_code");
        assertThatThrownBy(() -> provider.exchange("a b&c=\u0000é", VERIFIER))
                .hasMessageContaining("bad_verification_code");
    }

    private static HttpHandler answering(int status, String body) {
        return exchange -> FakeGithub.reply(exchange, status, "application/json", body);
    }

    /** What a provider may do wrong, at whichever address. */
    private static Map<String, HttpHandler> faults() {
        Map<String, HttpHandler> faults = new LinkedHashMap<>();
        for (int status : List.of(201, 204, 400, 401, 403, 404, 429, 500, 502, 503)) {
            faults.put("status " + status, answering(status, "{\"message\":\"no\"}"));
        }
        for (String body : List.of(
                "",
                "null",
                "7",
                "\"text\"",
                "<html>Unicorn!</html>",
                "{\"id\":",
                "{\"id\":7} {}",
                "[".repeat(100_000),
                "{\"id\":1,\"id\":2}",
                "access_token=x&token_type=bearer")) {
            faults.put("body " + body.substring(0, Math.min(30, body.length())), answering(200, body));
        }
        faults.put("a redirect", exchange -> {
            exchange.getResponseHeaders().set("Location", "/elsewhere");
            FakeGithub.reply(exchange, 302, "text/plain", "");
        });
        faults.put("a permanent redirect", exchange -> {
            exchange.getResponseHeaders().set("Location", "/elsewhere");
            FakeGithub.reply(exchange, 308, "text/plain", "");
        });
        faults.put("no answer", exchange -> exchange.close());
        faults.put("half an answer", exchange -> {
            exchange.sendResponseHeaders(200, 1000);
            exchange.getResponseBody().write(new byte[10]);
            exchange.getResponseBody().flush();
            exchange.close();
        });
        faults.put("more than anybody needs", exchange -> {
            exchange.sendResponseHeaders(200, 0);
            try (OutputStream out = exchange.getResponseBody()) {
                out.write("{\"id\":1,\"x\":\"".getBytes(java.nio.charset.StandardCharsets.US_ASCII));
                byte[] block = new byte[1 << 16];
                java.util.Arrays.fill(block, (byte) 'x');
                for (int i = 0; i < 1 << 14; i++) { // 1 GiB, if somebody took it
                    out.write(block);
                }
            }
        });
        return faults;
    }

    @TestFactory
    Stream<DynamicTest> aProviderThatIsWrongIsAFailureAndNothingElse() {
        github.add(Person.shy(3, "[{\"email\":\"a@example.org\",\"primary\":true,\"verified\":true}]"));
        return faults().entrySet().stream()
                .flatMap(fault -> Stream.of(TOKEN, USER, EMAILS)
                        .map(path -> DynamicTest.dynamicTest(path + ": " + fault.getKey(), () -> {
                            GithubProvider provider = provider();
                            String code = code(provider);
                            github.answerInstead(path, fault.getValue());
                            assertThatThrownBy(() -> provider.exchange(code, VERIFIER))
                                    .isInstanceOf(ProviderFailure.class);
                            github.answerInstead(path, null);
                            assertThat(github.requests).doesNotContain("GET /elsewhere", "POST /elsewhere");
                            assertThat(provider.exchange(code(provider), VERIFIER)
                                            .providerId())
                                    .isEqualTo("3");
                        })));
    }

    @TestFactory
    Stream<DynamicTest> aTokenThatCannotBeUsedIsAFailure() {
        github.add(Person.of(3, "Ada", "ada@example.org"));
        return Stream.of(
                        "{}",
                        "{\"access_token\":\"x\"}",
                        "{\"access_token\":null,\"token_type\":\"bearer\"}",
                        "{\"access_token\":\"\",\"token_type\":\"bearer\"}",
                        "{\"access_token\":7,\"token_type\":\"bearer\"}",
                        "{\"access_token\":\"a b\",\"token_type\":\"bearer\"}",
                        "{\"access_token\":\"a\\r\\nX-Evil: 1\",\"token_type\":\"bearer\"}",
                        "{\"access_token\":\"" + "x".repeat(5000) + "\",\"token_type\":\"bearer\"}",
                        "{\"access_token\":\"x\",\"token_type\":\"mac\"}",
                        "{\"access_token\":\"x\",\"token_type\":\"bearer\",\"error\":\"odd\"}",
                        "{\"error\":\"<script>\\n\"}")
                .map(body -> DynamicTest.dynamicTest(body.substring(0, Math.min(60, body.length())), () -> {
                    github.answerInstead(TOKEN, answering(200, body));
                    assertThatThrownBy(() -> provider().exchange("code", VERIFIER))
                            .isInstanceOfSatisfying(
                                    ProviderFailure.class,
                                    failure -> assertThat(failure.getMessage())
                                            .startsWith("exchange the code: ")
                                            .doesNotContain("X-Evil", "<", "\n", "odd-"));
                    assertThat(github.requests).doesNotContain("GET " + USER);
                }));
    }

    @TestFactory
    Stream<DynamicTest> aProfileThatCannotBeUsedIsAFailure() {
        return Stream.of(
                        "{}",
                        "{\"id\":null,\"email\":\"a@example.org\"}",
                        "{\"id\":0,\"email\":\"a@example.org\"}",
                        "{\"id\":-1,\"email\":\"a@example.org\"}",
                        "{\"id\":\"7\",\"email\":\"a@example.org\"}",
                        "{\"id\":1.5,\"email\":\"a@example.org\"}",
                        "{\"id\":99999999999999999999,\"email\":\"a@example.org\"}",
                        "{\"id\":1,\"email\":7}",
                        "{\"id\":1,\"email\":\"no-at\"}",
                        "{\"id\":1,\"email\":\"a@b\"}",
                        "{\"id\":1,\"email\":\"a@example.org\\u0000\"}",
                        "{\"id\":1,\"email\":\"a\\ud800@example.org\"}",
                        "{\"id\":1,\"email\":\"a@example.org, b@example.org\"}",
                        "{\"id\":1,\"email\":\"" + "a".repeat(60) + "@" + "b".repeat(250) + ".org\"}")
                .map(profile -> DynamicTest.dynamicTest(
                        profile.substring(0, Math.min(60, profile.length())),
                        () -> assertThatThrownBy(() -> logIn(new Person(1, profile, "[]")))
                                .isInstanceOf(ProviderFailure.class)));
    }

    @Test
    void oneDeadlineHoldsForAllCallsTogether() throws Exception {
        github.add(Person.shy(4, "[{\"email\":\"a@example.org\",\"primary\":true,\"verified\":true}]"));
        GithubProvider provider = provider();
        String code = code(provider);
        CountDownLatch left = new CountDownLatch(1);
        github.answerInstead(USER, exchange -> {
            exchange.sendResponseHeaders(200, 0);
            try (OutputStream out = exchange.getResponseBody()) {
                for (int i = 0; i < 300; i++) { // a byte at a time: no pause is long, the whole is
                    out.write(' ');
                    out.flush();
                    Thread.sleep(100);
                }
            } catch (java.io.IOException e) {
                left.countDown();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        long began = System.nanoTime();
        assertThatThrownBy(() -> provider.exchange(code, VERIFIER)).hasMessageContaining("no whole answer within");
        assertThat(Duration.ofNanos(System.nanoTime() - began)).isBetween(PATIENCE, PATIENCE.multipliedBy(4));
        assertThat(left.await(10, TimeUnit.SECONDS))
                .as("the connection is given up")
                .isTrue();
    }

    @Test
    void aProviderThatIsSilentOrNotThereIsAFailureInTime() {
        github.add(Person.of(4, "Ada", "ada@example.org"));
        GithubProvider provider = provider();
        String code = code(provider);
        CountDownLatch end = new CountDownLatch(1);
        github.answerInstead(TOKEN, exchange -> {
            try (exchange) {
                end.await(30, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        assertThatThrownBy(() -> provider.exchange(code, VERIFIER)).hasMessageContaining("no whole answer within");
        end.countDown();
        github.close();
        assertThatThrownBy(() -> provider.exchange(code, VERIFIER)).hasMessageContaining("ConnectException");
    }
}
