package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.Progress;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.Concurrently;
import dev.sandglass.control.testing.TestPlane;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** Two control planes on one database; the second one has an agent of its own in its process, as every `up` has. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class TwoPlanesTest {
    private TestPlane one;
    private ControlPlane two;

    @BeforeAll
    void start() {
        one = TestPlane.start();
        Map<String, String> environment = new HashMap<>(one.environment);
        environment.put("JWT_SECRET", "the same on all control planes, at least");
        two = ControlPlane.start(
                ControlPlaneConfiguration.read(environment, ConfigurationKeys.controlPlane()),
                Optional.of(new EmbeddedAgent(one.agent.channel(), one.agent.hostId)),
                Progress.SILENT);
        await(() -> one.plane.wiring().announcements.isCurrent()
                && two.wiring().announcements.isCurrent());
    }

    @AfterAll
    void stop() {
        two.close();
        one.close();
    }

    private static void await(Supplier<Boolean> condition) {
        Awaitility.await()
                .atMost(Duration.ofSeconds(20))
                .pollInterval(Duration.ofMillis(10))
                .until(condition::get);
    }

    private record Key(String id, Api here, Api there) {}

    private Key key(TestPlane.Person person) {
        Api.Answer made = person.withToken().post("/v1/api-keys");
        String text = made.text("key");
        return new Key(
                made.text("id"), one.api().withKey(text), Api.at(two.url()).withKey(text));
    }

    private static int status(Api api) {
        return api.get("/v1/sandboxes").status();
    }

    @Test
    void aKeyThatIsKnownNeedsNoQuery() {
        Key key = key(one.signUp());
        await(() -> {
            boolean remembered = two.wiring().announcements.isCurrent();
            return status(key.there()) == 200 && remembered;
        });
        // The row is gone, and since the trigger is, nobody has said so.
        one.sql("alter table team_api_keys disable trigger user");
        try {
            one.sql("delete from team_api_keys where id = '" + key.id() + "'");
            await(() -> status(key.there()) == 200); // it may be asked for while the machine is busy
        } finally {
            one.sql("alter table team_api_keys enable trigger user");
        }
    }

    @Test
    void aDeletedKeyStopsWorkingEverywhereWithinASecond() {
        TestPlane.Person person = one.signUp();
        Key key = key(person);
        assertThat(List.of(status(key.here()), status(key.there()))).containsOnly(200);
        assertThat(person.withToken().delete("/v1/api-keys/" + key.id()).status())
                .isEqualTo(204);
        long deleted = System.nanoTime();
        assertThat(status(key.here())).isEqualTo(401);
        await(() -> status(key.there()) == 401);
        Duration took = Duration.ofNanos(System.nanoTime() - deleted);
        System.out.printf("a deleted key was refused by the other control plane after %d ms%n", took.toMillis());
    }

    @Test
    void whateverEndsAKeyEndsItEverywhere() {
        TestPlane.Person person = one.signUp();
        Key key = key(person);
        assertThat(List.of(status(key.here()), status(key.there()))).containsOnly(200);
        one.sql("delete from teams where id = '" + person.teamId() + "'"); // takes its keys with it
        await(() -> status(key.here()) == 401 && status(key.there()) == 401);
    }

    /** Those that hear announcements, killed as a failing network would; new ones are kept out. */
    private void cutAnnouncements() {
        one.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name ="
                + " 'sandglass-announcements' and datname = current_database()");
    }

    @Test
    void aDeletedKeyStopsWorkingWhenNothingIsHeardOfIt() {
        TestPlane.Person person = one.signUp();
        Key key = key(person);
        assertThat(List.of(status(key.here()), status(key.there()))).containsOnly(200);
        cutAnnouncements();
        assertThat(person.withToken().delete("/v1/api-keys/" + key.id()).status())
                .isEqualTo(204);
        await(() -> status(key.there()) == 401);
        await(() -> two.wiring().announcements.isCurrent());
        assertThat(status(key.there())).isEqualTo(401);
        assertThat(status(key(person).there())).as("and others work").isEqualTo(200);
    }

    @Test
    void noKeyIsEverGoodASecondAfterItsDeletion() {
        TestPlane.Person person = one.signUp();
        List<Key> keys = Concurrently.run(8, _ -> key(person));
        List<Integer> after = Concurrently.run(8, n -> {
            Key key = keys.get(n);
            for (int i = 0; i < 20; i++) {
                assertThat(status(key.there())).isEqualTo(200);
            }
            if (n == 3) {
                cutAnnouncements();
            }
            person.withToken().delete("/v1/api-keys/" + key.id());
            Awaitility.await().pollDelay(Duration.ofSeconds(1)).until(() -> true);
            return status(key.there());
        });
        assertThat(after).containsOnly(401);
    }

    @Test
    void whatOneHasDoneTheOtherShowsAtOnce() {
        TestPlane.Person person = one.signUp();
        Api here = person.withKey();
        Api there = key(person).there();
        for (int i = 0; i < 10; i++) {
            String id = here.post("/v1/sandboxes", "{}").text("id");
            assertThat(there.get("/v1/sandboxes/" + id).text("status")).isEqualTo("running");
            assertThat(there.post("/v1/sandboxes/" + id + "/pause").status()).isEqualTo(200);
            assertThat(here.get("/v1/sandboxes/" + id).text("status")).isEqualTo("paused");
            assertThat(here.delete("/v1/sandboxes/" + id).status()).isEqualTo(204);
            assertThat(there.get("/v1/sandboxes/" + id).status()).isEqualTo(404);
        }
    }
}
