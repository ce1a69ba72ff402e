package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.TestPlane;
import java.util.Objects;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class ControlPlaneTest {
    private TestPlane test;

    @BeforeAll
    void start() {
        test = TestPlane.start();
    }

    @AfterAll
    void stop() {
        test.close();
    }

    @Test
    void somebodySignsUpAndHasASandbox() {
        TestPlane.Person person = test.signUp();
        assertThat(test.api()
                        .post(
                                "/v1/auth/login",
                                "{\"email\":\" " + person.email().toUpperCase(java.util.Locale.ROOT)
                                        + " \",\"password\":\"" + TestPlane.password() + "\"}")
                        .status())
                .isEqualTo(200);
        assertThat(person.withToken().get("/v1/me").json()).containsEntry("team_id", person.teamId());

        Api.Answer created = person.withKey()
                .post("/v1/sandboxes", "{\"metadata\":{\"purpose\":\"test\"},\"env\":{\"A\":\"b\"},\"unknown\":1}");
        assertThat(created.status()).as(created.toString()).isEqualTo(201);
        String id = created.text("id");
        assertThat(created.json())
                .containsEntry("status", "running")
                .containsEntry("template", "base")
                .containsEntry("vcpus", 1)
                .containsEntry("memory_mb", 512)
                .containsEntry("timeout_sec", 0)
                .containsKeys("host_ip", "created_at", "started_at", "last_active_at", "last_updated")
                .doesNotContainKey("error");
        assertThat(Objects.requireNonNull(test.agent.sandboxes.get(id)).getEnvMap())
                .containsEntry("A", "b");

        assertThat(person.withKey().get("/v1/sandboxes/" + id + "/").json()).isEqualTo(created.json());
        assertThat(person.withToken().get("/v1/sandboxes?metadata.purpose=test").list())
                .hasSize(1);
        assertThat(person.withKey().post("/v1/sandboxes/" + id + "/ping").status())
                .isEqualTo(204);
        assertThat(test.agent.pings).hasValue(1);

        assertThat(person.withKey().delete("/v1/sandboxes/" + id).status()).isEqualTo(204);
        assertThat(test.agent.sandboxes).doesNotContainKey(id);
        assertThat(person.withKey().get("/v1/sandboxes/" + id).code()).isEqualTo("not_found");
        assertThat(person.withKey().delete("/v1/sandboxes/" + id).status()).isEqualTo(204);
    }

    @Test
    void theSystemsOwnPathsAnswer() {
        assertThat(test.api().get("/healthz").status()).isEqualTo(200);
        assertThat(test.api().get("/readyz").status()).isEqualTo(200);
        assertThat(test.api().get("/openapi.yaml").body()).startsWith("openapi: 3.1.0");
        assertThat(test.api().get("/metrics").body()).contains("sandglass_http_requests");
    }

    @Test
    void metricsHaveABoundedNumberOfLabels() {
        for (int i = 0; i < 20; i++) {
            assertThat(test.api().get("/nowhere/path-" + i).status()).isEqualTo(404);
            assertThat(test.api().get("/v1/sandboxes/strange-" + i).status()).isEqualTo(401);
        }
        String metrics = test.api().get("/metrics").body();
        assertThat(metrics).doesNotContain("path-", "strange-");
        assertThat(metrics)
                .contains("route=\"none\"", "route=\"/v1/sandboxes/{id}\"")
                .contains("sandglass_http_requests_seconds_bucket", "le=\"0.005\"")
                .contains("sandglass_database_connections", "sandglass_database_announcements")
                .contains("sandglass_http_connections", "sandglass_exec_streams", "jvm_gc_");
        assertThat(metrics.lines().filter(line -> line.contains("/v1/sandboxes/{id}\"") && line.contains("_count")))
                .hasSizeLessThan(10);
    }

    @Test
    void theLocalAccountIsMadeOnce() {
        String key = test.plane.createLocalKey("first");
        assertThat(test.plane.ensureLocalAccount()).isEqualTo(test.plane.ensureLocalAccount());
        assertThat(test.plane.acceptsKey(key)).isTrue();
        assertThat(test.api().withKey(key).get("/v1/sandboxes").status()).isEqualTo(200);
    }
}
