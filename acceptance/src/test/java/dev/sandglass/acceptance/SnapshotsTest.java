package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.acceptance.Api.Answer;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;

/** Named snapshots, as a client program uses them. */
@Order(25)
@ExtendWith(Shared.class)
class SnapshotsTest {
    private static JsonNode take(Api api, Sandbox sandbox, String name, String query, boolean pause) {
        return api.post("/v1/snapshots" + query, Map.of("sandbox_id", sandbox.id(), "name", name, "pause", pause))
                .require(201)
                .json();
    }

    private static Sandbox from(Api api, String name) {
        return api.create(Map.of("template", name));
    }

    @Test
    void anOverwrittenSnapshotPairsNewMemoryWithTheNewDisk(Installation server) {
        Api api = server.api();
        Sandbox origin = api.create();
        Oracle.start(script -> origin.sh(script).require());
        // The version is in memory and on disk; a clone that mixed them would show it.
        var _ = origin.sh("echo one >/root/disk; sync; echo one >/run/memory").require();
        JsonNode first = take(api, origin, "work", "", false);
        assertThat(first.path("type").asString("")).isEqualTo("snapshot");
        assertThat(origin.status()).isEqualTo("running");
        Answer taken = api.post("/v1/snapshots", Map.of("sandbox_id", origin.id(), "name", "work"));
        assertThat(taken.status()).isEqualTo(409);
        assertThat(taken.errorCode()).isEqualTo("already_exists");

        Sandbox old = from(api, "work");
        var _ = origin.sh("echo two >/root/disk; sync; echo two >/run/memory").require();
        JsonNode second = take(api, origin, "work", "?overwrite=true", false);
        assertThat(second.path("id")).isNotEqualTo(first.path("id"));
        Sandbox fresh = from(api, "work");
        String both = "cat /root/disk /run/memory";
        assertThat(fresh.sh(both).require()).isEqualTo("two\ntwo");
        assertThat(old.sh(both).require()).isEqualTo("one\none");

        // What the old one needs stays, also while it is paused and after everything else is gone.
        api.post(old.path() + "/pause").require(200);
        origin.delete();
        api.delete("/v1/snapshots/work").require(204);
        assertThat(api.get("/v1/snapshots/work").status()).isEqualTo(404);
        assertThat(api.post("/v1/sandboxes", Map.of("template", "work")).status())
                .isEqualTo(404);
        api.post(old.path() + "/resume", Map.of()).require(200);
        assertThat(old.sh(both).require()).isEqualTo("one\none");
        for (Sandbox clone : List.of(old, fresh)) {
            var _ = Oracle.check(script -> clone.sh(script).require());
            clone.delete();
        }
        assertThat(server.footprint().of(Footprint.SNAPSHOTS)).isEmpty();
    }

    @Test
    void anotherTeamsSnapshotOfTheSameNameIsAnother(Installation server) {
        Api ours = server.api();
        Api theirs = server.signUp("eve@example.org");
        Sandbox here = ours.create();
        Sandbox there = theirs.create();
        var _ = here.sh("echo ours >/root/whose; sync").require();
        var _ = there.sh("echo theirs >/root/whose; sync").require();
        JsonNode first = take(ours, here, "same", "", false);
        assertThat(theirs.get("/v1/snapshots/same").status()).isEqualTo(404);
        assertThat(theirs.post("/v1/sandboxes", Map.of("template", "same")).status())
                .isEqualTo(404);
        for (String name : List.of(first.path("id").asString(""), "../same", "same/../same")) {
            assertThat(theirs.post("/v1/sandboxes", Map.of("template", name)).status())
                    .as(name)
                    .isIn(400, 404);
        }
        assertThat(theirs.post("/v1/snapshots", Map.of("sandbox_id", here.id(), "name", "mine"))
                        .status())
                .isEqualTo(404);
        take(theirs, there, "same", "?overwrite=true", false);
        Sandbox mine = from(ours, "same");
        Sandbox other = from(theirs, "same");
        assertThat(mine.sh("cat /root/whose").require()).isEqualTo("ours");
        assertThat(other.sh("cat /root/whose").require()).isEqualTo("theirs");
        theirs.delete("/v1/snapshots/same").require(204);
        assertThat(ours.get("/v1/snapshots/same").require(200).json().path("id"))
                .isEqualTo(first.path("id"));
        assertThat(server.footprint().of(Footprint.SNAPSHOTS))
                .as("on disk it has its id and not its name")
                .containsExactly("snapshots/" + first.path("id").asString(""));
        ours.delete("/v1/snapshots/same").require(204);
        List.of(here, there, mine, other).forEach(Sandbox::delete);
    }

    @Test
    void itsShapeIsLockedAndItsSizeIsWhatItTakes(Installation server) {
        Api api = server.api();
        Sandbox sandbox = api.create();
        JsonNode snapshot = take(api, sandbox, "shape", "", true);
        assertThat(sandbox.status()).isEqualTo("paused");
        assertThat(snapshot.path("vcpus").asInt(0)).isEqualTo(1);
        assertThat(snapshot.path("memory_mb").asInt(0)).isEqualTo(512);
        // 8 GiB of disk and 512 MiB of memory by length, some megabytes in blocks.
        assertThat(snapshot.path("size_bytes").asLong(0)).isBetween(100_000L, 100_000_000L);
        Answer other = api.post("/v1/sandboxes", Map.of("template", "shape", "memory_mb", 1024));
        assertThat(other.status()).isEqualTo(400);
        assertThat(other.errorMessage()).contains("512");
        api.post(sandbox.path() + "/resume", Map.of()).require(200);
        assertThat(sandbox.exec("echo", "on").require()).isEqualTo("on");
        sandbox.delete();
        api.delete("/v1/snapshots/shape").require(204);
        assertThat(api.delete("/v1/snapshots/shape").status()).isEqualTo(404);
    }
}
