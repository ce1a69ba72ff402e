package dev.sandglass.control.database;

import dev.sandglass.contract.Progress;
import dev.sandglass.control.testing.TestDatabase;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** A PostgreSQL server of a test's own that can be killed, stays away until it is started again, and is removed at the end. */
public final class MortalPostgres implements AutoCloseable {
    private final Path directory;
    private final DatabaseAddress address;
    private Keeper server;

    private MortalPostgres(Path directory, DatabaseAddress address) throws IOException {
        this.directory = directory;
        this.address = address;
        this.server = launch();
    }

    public static MortalPostgres start() {
        try {
            Path directory = Files.createTempDirectory("sandglass-test-mortal-");
            EmbeddedPostgres initial = EmbeddedPostgres.start(directory, Progress.SILENT);
            initial.close();
            return new MortalPostgres(directory, initial.address());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public String url() {
        return address.jdbcUrl() + "?user=" + address.user() + "&password=" + address.password();
    }

    private Keeper launch() throws IOException {
        int port = Integer.parseInt(address.jdbcUrl().replaceAll(".*:([0-9]+)/.*", "$1"));
        Path binaries = PostgresBinaries.ensure(directory.resolve("programs"), Progress.SILENT);
        Path data = directory.resolve("data-" + PostgresBinaries.MAJOR_VERSION);
        Keeper keeper = Keeper.start(
                EmbeddedPostgres.command(PostgresAccount.choose(), directory, binaries, data, port),
                directory.resolve("log"));
        EmbeddedPostgres.awaitReady(keeper.server(), address, directory.resolve("log"));
        return keeper;
    }

    /** kill -9, all of its processes. */
    public void kill() {
        kill(server.server().toHandle());
    }

    static void kill(ProcessHandle postmaster) {
        List<ProcessHandle> all =
                Stream.concat(Stream.of(postmaster), postmaster.descendants()).toList();
        all.forEach(ProcessHandle::destroyForcibly);
        all.forEach(process -> process.onExit().join());
    }

    /** After a kill. Returns when it answers. */
    public void startAgain() {
        try {
            server = launch();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void close() {
        server.close();
        TestDatabase.delete(directory);
    }
}
