package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.acceptance.Api.Answer;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;

/** From sign-up to the deletion of a sandbox, as a client program goes through it. */
@Order(10)
@ExtendWith(Shared.class)
class AccountFlowTest {
    private static final Pattern NEXT = Pattern.compile("<([^>]*)>; ?rel=\"next\"");

    @Test
    void aNewUserComesFromSignUpToTheOutputOfACommand(Installation server) {
        Api anonymous = server.anonymous();
        Map<String, String> credentials = Map.of("email", "Ada@Example.org ", "password", "a long password");
        JsonNode account =
                anonymous.post("/v1/auth/signup", credentials).require(201).json();
        assertThat(account.path("email").asString("")).isEqualTo("ada@example.org");
        assertThat(account.path("user_id").asString("")).matches("usr[0-9a-z]{20}");
        assertThat(account.path("team_id").asString("")).matches("team[0-9a-z]{20}");
        JsonNode again =
                anonymous.post("/v1/auth/login", credentials).require(200).json();
        assertThat(again.path("user_id")).isEqualTo(account.path("user_id"));

        Api user = anonymous.withToken(again.path("token").asString(""));
        user.get("/v1/me").require(200);
        JsonNode key =
                user.post("/v1/api-keys", Map.of("name", "laptop")).require(201).json();
        assertThat(key.path("key").asString("")).matches("sgk_[0-9A-Za-z]{40}");
        assertThat(user.get("/v1/api-keys").require(200).text())
                .contains("laptop")
                .doesNotContain(key.path("key").asString("x"));

        Api api = anonymous.withKey(key.path("key").asString(""));
        try (Sandbox sandbox = api.create()) {
            assertThat(sandbox.id()).matches("sb[0-9a-z]{20}");
            assertThat(sandbox.created().path("status").asString("")).isEqualTo("running");
            assertThat(sandbox.exec("python3", "-c", "print(6*7)").stdout()).isEqualTo("42\n");
        }
        user.delete("/v1/api-keys/" + key.path("id").asString("")).require(204);
        Installation.pause(Duration.ofSeconds(1));
        assertThat(api.get("/v1/sandboxes").status()).isEqualTo(401);
    }

    @Test
    void aSandboxHasTheShapeThatWasAskedFor(Installation server) {
        try (Sandbox sandbox = server.api()
                .create(Map.of(
                        "vcpus",
                        1,
                        "memory_mb",
                        512,
                        "timeout_sec",
                        3600,
                        "env",
                        Map.of("COLOUR", "teal"),
                        "metadata",
                        Map.of("purpose", "test"),
                        "not_a_field",
                        true))) {
            JsonNode object = sandbox.now();
            assertThat(object.path("template").asString("")).isEqualTo("base");
            assertThat(object.path("vcpus").asInt(0)).isEqualTo(1);
            assertThat(object.path("memory_mb").asInt(0)).isEqualTo(512);
            assertThat(object.path("timeout_sec").asInt(0)).isEqualTo(3600);
            assertThat(object.path("metadata").path("purpose").asString("")).isEqualTo("test");
            assertThat(object.has("error")).as("absent fields are left out").isFalse();
            for (String time : List.of("created_at", "started_at", "last_active_at", "last_updated")) {
                assertThat(Instant.parse(object.path(time).asString("")))
                        .as(time)
                        .isBetween(Instant.now().minusSeconds(60), Instant.now().plusSeconds(5));
            }
            assertThat(sandbox.exec("printenv", "COLOUR").require()).isEqualTo("teal");
            assertThat(sandbox.exec("nproc").require()).isEqualTo("1");
            String total =
                    sandbox.sh("grep MemTotal /proc/meminfo | tr -dc 0-9").require();
            assertThat(Integer.parseInt(total)).isBetween(400_000, 524_288);
        }
    }

    @Test
    void theListHasPagesAndFilters(Installation server) {
        Api api = server.signUp("pages@example.org");
        List<Sandbox> made = new ArrayList<>();
        try {
            for (String parity : List.of("even", "odd", "even")) {
                made.addFirst(api.create(Map.of("metadata", Map.of("parity", parity))));
            }
            List<String> ids = made.stream().map(Sandbox::id).toList();
            assertThat(ids(api.get("/v1/sandboxes").require(200))).isEqualTo(ids);
            assertThat(ids(api.get("/v1/sandboxes/").require(200)))
                    .as("with a slash at the end")
                    .isEqualTo(ids);
            assertThat(ids(api.get("/v1/sandboxes?metadata.parity=even").require(200)))
                    .containsExactly(ids.get(0), ids.get(2));
            assertThat(ids(api.get("/v1/sandboxes?status=paused").require(200))).isEmpty();

            List<String> paged = new ArrayList<>();
            Answer page = api.get("/v1/sandboxes?limit=2").require(200);
            assertThat(ids(page)).hasSize(2);
            paged.addAll(ids(page));
            Matcher next = NEXT.matcher(page.header("Link"));
            assertThat(next.find()).as("a link to the next page").isTrue();
            Answer last = api.get(next.group(1)).require(200);
            paged.addAll(ids(last));
            assertThat(paged).isEqualTo(ids);
            assertThat(last.header("Link")).isEmpty();
        } finally {
            made.forEach(Sandbox::delete);
        }
        assertThat(ids(api.get("/v1/sandboxes").require(200))).isEmpty();
    }

    private static List<String> ids(Answer answer) {
        List<String> ids = new ArrayList<>();
        answer.json().forEach(object -> ids.add(object.path("id").asString("")));
        return ids;
    }

    @Test
    void aPingIsActivity(Installation server) {
        try (Sandbox sandbox = server.api().create()) {
            Instant before = Instant.parse(sandbox.now().path("last_active_at").asString(""));
            Installation.pause(Duration.ofMillis(50));
            server.api().post(sandbox.path() + "/ping").require(204);
            assertThat(Instant.parse(sandbox.now().path("last_active_at").asString("")))
                    .isAfter(before);
        }
    }

    @Test
    void aCreateThatIsRepeatedWithItsKeyMakesOneSandbox(Installation server) {
        Api api = server.api().withHeader("Idempotency-Key", "once-" + System.nanoTime());
        Sandbox first = api.create(Map.of("metadata", Map.of("n", "1")));
        try {
            Sandbox second = api.create(Map.of("metadata", Map.of("n", "1")));
            assertThat(second.id()).isEqualTo(first.id());
            Answer other = api.post("/v1/sandboxes", Map.of("metadata", Map.of("n", "2")));
            assertThat(other.status()).as("another body with the same key").isBetween(400, 499);
        } finally {
            first.delete();
        }
    }

    @Test
    void aDeletionMayBeRepeated(Installation server) {
        Sandbox sandbox = server.api().create();
        sandbox.delete();
        assertThat(server.api().delete(sandbox.path()).status()).isIn(204, 404);
        assertThat(server.api().get(sandbox.path()).status()).isEqualTo(404);
        assertThat(server.api()
                        .post(sandbox.path() + "/exec", Map.of("cmd", "true"))
                        .status())
                .isEqualTo(404);
    }

    @Test
    void whatBelongsToAnotherTeamDoesNotExist(Installation server) throws Exception {
        Api stranger = server.signUp("mallory@example.org");
        try (Sandbox sandbox = server.api().create()) {
            String unknown = "/v1/sandboxes/sb" + "0".repeat(20);
            for (String path : List.of(sandbox.path(), unknown)) {
                assertNotFound(stranger.get(path));
                assertNotFound(stranger.delete(path));
                assertNotFound(stranger.post(path + "/ping"));
                assertNotFound(stranger.post(path + "/exec", Map.of("cmd", "true")));
                assertNotFound(stranger.get(path + "/execs"));
                assertNotFound(stranger.get(path + "/files?path=/"));
                assertNotFound(stranger.post(path + "/files/read", Map.of("path", "/etc/hostname")));
                assertNotFound(stranger.put(path + "/files/stream?path=/tmp/x", new byte[1]));
            }
            assertThat(refusal(stranger, sandbox.id())).isEqualTo(404);
            assertThat(refusal(server.anonymous(), sandbox.id())).isEqualTo(401);
            assertThat(stranger.get("/v1/sandboxes").require(200).json()).isEmpty();
            assertThat(sandbox.exec("echo", "alive").require()).isEqualTo("alive");
        }
    }

    private static int refusal(Api api, String sandbox) {
        try (ExecSocket _ = ExecSocket.open(api, sandbox)) {
            return 101;
        } catch (ExecSocket.Refused e) {
            return e.status();
        }
    }

    private static void assertNotFound(Answer answer) {
        assertThat(answer.status()).as(answer.text()).isEqualTo(404);
        assertThat(answer.errorCode()).isEqualTo("not_found");
    }
}
