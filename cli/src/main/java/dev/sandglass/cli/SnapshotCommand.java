package dev.sandglass.cli;

import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.ApiFailure;
import dev.sandglass.cli.client.Json;
import dev.sandglass.cli.client.Snapshot;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
        name = "snapshot",
        description = "Keep a sandbox's memory and disk under a name, and make more sandboxes from it.",
        mixinStandardHelpOptions = true,
        synopsisSubcommandLabel = "COMMAND",
        commandListHeading = "%nCommands:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sandglass snapshot create sb4k7 --name with-numpy",
            "  sandglass run --from with-numpy -- python3 -c 'import numpy'",
            "  sandglass snapshot list",
            "  sandglass snapshot rm with-numpy"
        })
final class SnapshotCommand implements Runnable {
    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli
    private CommandSpec spec;

    static CommandLine withSubcommands(Context context) {
        return new CommandLine(new SnapshotCommand())
                .addSubcommand(new Create(context))
                .addSubcommand(new ListAll(context))
                .addSubcommand(new Remove(context));
    }

    @Override
    public void run() {
        spec.commandLine().usage(spec.commandLine().getOut());
    }

    @Command(
            name = "create",
            description = "Take a snapshot of a running or paused sandbox and print its name.",
            mixinStandardHelpOptions = true,
            footerHeading = "%nA running sandbox stands still for some milliseconds and goes on.%n%nExamples:%n",
            footer = {
                "  sandglass snapshot create sb4k7 --name with-numpy",
                "  sandglass snapshot create sb4k7 --name with-numpy --overwrite",
                "  name=$(sandglass snapshot create sb4k7 --pause)"
            })
    static final class Create implements Callable<Integer> {
        private final Context context;

        @Option(names = "--name", paramLabel = "NAME", description = "Its name (default: one that is made up).")
        private @Nullable String name;

        @Option(names = "--pause", description = "Leave the sandbox paused.")
        private boolean pause;

        @Option(names = "--overwrite", description = "Replace your snapshot of this name, if there is one.")
        private boolean overwrite;

        @Option(names = "--json", description = "Print the whole snapshot as JSON.")
        private boolean json;

        @Parameters(paramLabel = "SANDBOX", description = "The sandbox's id.")
        private String sandbox = "";

        Create(Context context) {
            this.context = context;
        }

        @Override
        public Integer call() {
            try (Api api = context.api()) {
                Snapshot snapshot =
                        api.createSnapshot(api.requireId(sandbox), Optional.ofNullable(name), pause, overwrite);
                context.out().println(json ? Json.writeIndented(snapshot.json()) : snapshot.name());
                return 0;
            } catch (ApiFailure e) {
                if (e.code().equals("already_exists") && !overwrite) {
                    throw new CommandFailure(e.reason() + "\n--overwrite replaces it, if it is yours.");
                }
                throw e;
            }
        }
    }

    @Command(
            name = "list",
            aliases = {"ls", "ps"},
            description = "List snapshots, newest first, and what everybody may clone.",
            mixinStandardHelpOptions = true,
            footerHeading = "%nSIZE is what it takes on disk, shared parts included.%n%nExamples:%n",
            footer = {"  sandglass snapshot list", "  sandglass snapshot list --json"})
    static final class ListAll implements Callable<Integer> {
        private final Context context;

        @Option(names = "--json", description = "Print the whole list as JSON.")
        private boolean json;

        @Option(
                names = {"-q", "--quiet"},
                description = "Print the names of your snapshots only.")
        private boolean quiet;

        ListAll(Context context) {
            this.context = context;
        }

        @Override
        public Integer call() {
            List<Snapshot> snapshots;
            try (Api api = context.api()) {
                snapshots = api.snapshots();
            }
            if (json) {
                context.out()
                        .println(Json.writeIndented(Json.array(
                                snapshots.stream().map(Snapshot::json).toList())));
            } else if (quiet) {
                snapshots.stream()
                        .filter(snapshot -> snapshot.type().equals("snapshot"))
                        .forEach(snapshot -> context.out().println(snapshot.name()));
            } else {
                print(snapshots);
            }
            return 0;
        }

        private void print(List<Snapshot> snapshots) {
            Instant now = Instant.now();
            List<List<String>> rows = new ArrayList<>();
            rows.add(List.of("SNAPSHOT", "TYPE", "VCPUS", "MEMORY", "SIZE", "AGE"));
            for (Snapshot snapshot : snapshots) {
                rows.add(List.of(
                        snapshot.name(),
                        snapshot.type(),
                        snapshot.vcpus() == 0 ? "any" : Integer.toString(snapshot.vcpus()),
                        snapshot.memoryMb() == 0 ? "any" : snapshot.memoryMb() + " MiB",
                        snapshot.sizeBytes() == 0
                                ? "-"
                                : String.format(Locale.ROOT, "%.1f MB", snapshot.sizeBytes() / 1e6),
                        snapshot.createdAt()
                                .map(made -> PsCommand.age(Duration.between(made, now)))
                                .orElse("-")));
            }
            Table.print(context.out(), rows);
        }
    }

    @Command(
            name = "rm",
            aliases = "delete",
            description = "Delete snapshots. Sandboxes made from them go on.",
            mixinStandardHelpOptions = true,
            footerHeading = "%nExample:%n",
            footer = "  sandglass snapshot rm with-numpy")
    static final class Remove implements Callable<Integer> {
        private final Context context;

        @Parameters(arity = "1..*", paramLabel = "NAME", description = "Their names.")
        private List<String> names = List.of();

        Remove(Context context) {
            this.context = context;
        }

        @Override
        public Integer call() {
            try (Api api = context.api()) {
                int failed = 0;
                for (String name : names) {
                    failed += delete(api, name) ? 0 : 1;
                }
                return failed == 0 ? 0 : 1;
            }
        }

        /** One that cannot be deleted does not keep the others. */
        private boolean delete(Api api, String name) {
            try {
                api.deleteSnapshot(name);
                context.out().println(name);
                return true;
            } catch (ApiFailure e) {
                if (e.status() == 0) {
                    throw e;
                }
                context.err().println("sandglass: " + e.reason());
                return false;
            }
        }
    }
}
