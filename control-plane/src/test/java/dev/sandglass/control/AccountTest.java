package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.Concurrently;
import dev.sandglass.control.testing.TestPlane;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class AccountTest {
    private TestPlane test;

    @BeforeAll
    void start() {
        test = TestPlane.start();
    }

    @AfterAll
    void stop() {
        test.close();
    }

    private Api.Answer signUp(String email, String password) {
        return test.api().post("/v1/auth/signup", credentials(email, password));
    }

    private Api.Answer logIn(String email, String password) {
        return test.api().post("/v1/auth/login", credentials(email, password));
    }

    private static String credentials(String email, String password) {
        return "{\"email\":\"" + email + "\",\"password\":\"" + password + "\"}";
    }

    @Test
    void fiftySignUpsOfOneAddressMakeOneAccount() {
        List<Api.Answer> answers = Concurrently.run(50, i -> signUp("race@example.org", "password-" + i));
        assertThat(answers.stream().filter(answer -> answer.status() == 201)).hasSize(1);
        assertThat(answers.stream().filter(answer -> answer.code().equals("email_taken")))
                .hasSize(49);
    }

    @Test
    void addressesAreTrimmedAndLowerCased() {
        Api.Answer made = signUp("  MiXed@Example.ORG ", "long enough");
        assertThat(made.status()).isEqualTo(201);
        assertThat(made.text("email")).isEqualTo("mixed@example.org");
        assertThat(signUp("mixed@example.org", "long enough").code()).isEqualTo("email_taken");
        assertThat(logIn("MIXED@example.org", "long enough").text("user_id")).isEqualTo(made.text("user_id"));
    }

    @Test
    void longPasswordsCountToTheirLastCharacter() {
        String password = "p".repeat(1000);
        assertThat(signUp("long@example.org", password + "1").status()).isEqualTo(201);
        assertThat(logIn("long@example.org", password + "2").status()).isEqualTo(401);
        assertThat(logIn("long@example.org", password + "1").status()).isEqualTo(200);
    }

    @Test
    void whoIsUnknownIsRefusedLikeWhoIsWrong() {
        signUp("known@example.org", "right password");
        Api.Answer unknown = logIn("unknown@example.org", "right password");
        Api.Answer wrong = logIn("known@example.org", "wrong password");
        assertThat(unknown.status()).isEqualTo(401);
        assertThat(unknown.body()).isEqualTo(wrong.body());
        long unknownTime = Long.MAX_VALUE;
        long wrongTime = Long.MAX_VALUE;
        for (int i = 0; i < 5 || (i < 40 && !isAlike(unknownTime, wrongTime)); i++) { // a busy machine needs more
            long began = System.nanoTime();
            logIn("unknown@example.org", "right password");
            long between = System.nanoTime();
            logIn("known@example.org", "wrong password");
            unknownTime = Math.min(unknownTime, between - began);
            wrongTime = Math.min(wrongTime, System.nanoTime() - between);
        }
        assertThat(isAlike(unknownTime, wrongTime))
                .as("both compute one hash: %d ns, %d ns", unknownTime, wrongTime)
                .isTrue();
    }

    private static boolean isAlike(long one, long another) {
        double ratio = (double) one / another;
        return ratio > 0.4 && ratio < 2.5;
    }

    @Test
    void badTokensAreRefused() {
        TestPlane.Person person = test.signUp();
        String[] parts = person.token().split("\\.", -1);
        String none = Base64.getUrlEncoder()
                .withoutPadding()
                .encodeToString("{\"alg\":\"none\"}".getBytes(StandardCharsets.UTF_8));
        String hs512 = Base64.getUrlEncoder()
                .withoutPadding()
                .encodeToString("{\"alg\":\"HS512\"}".getBytes(StandardCharsets.UTF_8));
        for (String token : List.of(
                "",
                "x",
                "a.b.c",
                none + "." + parts[1] + ".",
                none + "." + parts[1] + "." + parts[2],
                hs512 + "." + parts[1] + "." + parts[2],
                parts[0] + "." + parts[1] + "." + parts[2].substring(1) + "A",
                parts[0] + "." + parts[1] + "x." + parts[2],
                "x".repeat(5000))) {
            Api.Answer answer = test.api().withToken(token).get("/v1/me");
            assertThat(answer.status()).as(token).isEqualTo(401);
            assertThat(answer.code()).isEqualTo("unauthorized");
        }
        assertThat(test.api().with("Authorization", "Basic eDp5").get("/v1/me").status())
                .isEqualTo(401);
        assertThat(test.api()
                        .with("Authorization", "bearer " + person.token())
                        .get("/v1/me")
                        .status())
                .isEqualTo(200);
        String body = new String(Base64.getUrlDecoder().decode(parts[1]), StandardCharsets.UTF_8);
        assertThat(body).contains("\"sub\"", "\"team_id\"", "\"email\"", "\"iat\"", "\"exp\"", "\"iss\"", "\"jti\"");
    }

    @Test
    void meShowsTeamsAndLoginMethods() {
        TestPlane.Person person = test.signUp();
        assertThat(person.withToken().get("/v1/me").json())
                .containsEntry("user_id", person.userId())
                .containsEntry("email", person.email())
                .containsEntry("login_methods", List.of("password"))
                .containsEntry(
                        "teams",
                        List.of(Map.of(
                                "id",
                                person.teamId(),
                                "name",
                                person.email() + "'s Team",
                                "role",
                                "owner",
                                "is_default",
                                true)));
    }

    @Test
    void attemptsAreLimitedPerAccountAndPerAddress() {
        try (TestPlane strict =
                TestPlane.start(Map.of("SANDGLASS_ATTEMPTS_PER_ACCOUNT", "3", "SANDGLASS_ATTEMPTS_PER_ADDRESS", "6"))) {
            for (int i = 0; i < 3; i++) {
                assertThat(strict.api()
                                .post("/v1/auth/login", credentials("a@example.org", "x"))
                                .status())
                        .isEqualTo(401);
            }
            Api.Answer account = strict.api().post("/v1/auth/login", credentials("a@example.org", "x"));
            assertThat(account.status()).isEqualTo(429);
            assertThat(account.code()).isEqualTo("rate_limited");
            assertThat(Integer.parseInt(account.header("Retry-After"))).isBetween(1, 60);
            for (int i = 0; i < 2; i++) {
                strict.api().post("/v1/auth/login", credentials("b" + i + "@example.org", "x"));
            }
            assertThat(strict.api()
                            .post("/v1/auth/signup", credentials("c@example.org", "long enough"))
                            .status())
                    .isEqualTo(429);
        }
    }

    // ---- keys

    @Test
    void aKeyIsShownOnceAndListedWithoutItsText() {
        TestPlane.Person person = test.signUp();
        Api.Answer made = person.withToken().post("/v1/api-keys", "{\"name\":\" deploy \"}");
        assertThat(made.status()).isEqualTo(201);
        assertThat(made.text("key")).matches("sgk_[0-9A-Za-z]{40}");
        assertThat(made.json())
                .containsEntry("name", "deploy")
                .containsEntry("team_id", person.teamId())
                .containsEntry("created_by", person.userId())
                .containsEntry("key_prefix", made.text("key").substring(0, 12) + "...")
                .doesNotContainKey("last_used");
        assertThat(person.withToken().post("/v1/api-keys", "{\"name\":\"  \"}").text("name"))
                .isEqualTo("Unnamed API Key");
        List<Map<String, Object>> listed =
                person.withToken().get("/v1/api-keys").list();
        assertThat(listed).hasSize(3).allSatisfy(key -> assertThat(key).doesNotContainKeys("key", "key_hash"));
        assertThat(listed.get(1)).containsEntry("id", made.text("id"));
        assertThat(person.withKey().get("/v1/api-keys").status()).isEqualTo(401);
    }

    @Test
    void theUseOfAKeyIsWrittenDown() {
        TestPlane.Person person = test.signUp();
        person.withKey().get("/v1/sandboxes");
        Awaitility.await()
                .atMost(Duration.ofSeconds(10))
                .untilAsserted(
                        () -> assertThat(person.withToken().get("/v1/api-keys").list())
                                .anySatisfy(key -> assertThat(key).containsKey("last_used")));
    }

    @Test
    void aDeletedKeyStopsWorkingWithinASecondEverywhere() throws Exception {
        TestPlane.Person person = test.signUp();
        Map<String, String> shared = Map.of(
                "DATABASE_URL",
                test.environment.get("DATABASE_URL"),
                "JWT_SECRET",
                "0123456789012345678901234567890123456789");
        try (TestPlane other = TestPlane.start(shared)) {
            Api.Answer made = person.withToken().post("/v1/api-keys");
            Api here = test.api().withKey(made.text("key"));
            Api there = other.api().withKey(made.text("key"));
            assertThat(here.get("/v1/sandboxes").status()).isEqualTo(200);
            assertThat(there.get("/v1/sandboxes").status()).isEqualTo(200);
            assertThat(person.withToken()
                            .delete("/v1/api-keys/" + made.text("id"))
                            .status())
                    .isEqualTo(204);
            assertThat(here.get("/v1/sandboxes").status()).isEqualTo(401);
            Thread.sleep(1000);
            assertThat(there.get("/v1/sandboxes").status()).isEqualTo(401);
            assertThat(person.withToken()
                            .delete("/v1/api-keys/" + made.text("id"))
                            .status())
                    .isEqualTo(404);
        }
    }
}
