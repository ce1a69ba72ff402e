package dev.sandglass.acceptance;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Several control planes of one installation that callers use in turns. With {@code -Dacceptance.planes=2} the shared
 * installation has two, and every request of every test goes to the one that the last did not go to.
 */
final class Planes {
    static final int SHARED = Integer.getInteger("acceptance.planes", 1);

    private static final Map<URI, List<URI>> TURNS = new ConcurrentHashMap<>();
    private static final AtomicInteger TURN = new AtomicInteger();

    private Planes() {}

    /** What {@code base} is called with goes to {@code all} in turns from now on. */
    static void takeTurns(URI base, List<URI> all) {
        TURNS.put(base, List.copyOf(all));
    }

    /** Where the next request to {@code base} goes. */
    static URI next(URI base) {
        List<URI> all = TURNS.getOrDefault(base, List.of(base));
        return all.get(Math.floorMod(TURN.getAndIncrement(), all.size()));
    }

    /** A control plane beside the one of {@code first}: on its database, with its secrets and a home of its own. */
    static Installation beside(Installation first, String name) {
        Secrets.ofHome(first.home());
        Path home = first.home();
        return Installation.of(name, "control-plane")
                .with("DATABASE_URL", databaseUrl(home))
                .with(
                        "JWT_SECRET",
                        Installation.read(home.resolve("secrets/jwt")).strip())
                .with("SANDGLASS_INSTALLATION", first.installation())
                .with(
                        "SANDGLASS_AGENT_TOKEN",
                        Installation.read(home.resolve("installation/agent-token"))
                                .strip())
                .with("SANDGLASS_REGISTRY_ADDR", "127.0.0.1:" + Installation.freePort());
    }

    private static String databaseUrl(Path home) {
        String password = Installation.read(home.resolve("postgresql/password")).strip();
        String port = Installation.read(home.resolve("postgresql/port")).strip();
        return "postgres://sandglass:" + password + "@127.0.0.1:" + port + "/postgres";
    }

    /** Pid of the embedded PostgreSQL's first process. */
    static int postgres(Path home) {
        try (var files = Files.list(home.resolve("postgresql"))) {
            Path data = files.filter(
                            file -> Objects.toString(file.getFileName()).startsWith("data-"))
                    .findFirst()
                    .orElseThrow(() -> new AssertionError("no database in " + home));
            return Integer.parseInt(Files.readAllLines(data.resolve("postmaster.pid"))
                    .getFirst()
                    .strip());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
