package dev.sandglass.bench;

import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** What was asked for on the command line. */
@Command(
        name = "sandglass bench",
        description = {
            "Measure Sandglass on this machine: create, exec, pause, resume, snapshots, terminals, files, memory, disk and",
            "API, each beside its promise; podman with runc, a cold boot, plain copies and pgbench in the same run.",
            "Uses the running server, or starts an installation of its own in a temporary home and removes it again."
        },
        mixinStandardHelpOptions = true,
        sortOptions = false,
        footerHeading = "%nExamples:%n",
        footer = {
            "  sandglass bench --quick",
            "  sandglass bench --only create,exec --rounds 50 --profile",
            "  sandglass bench --only create --rounds 100        enough creates for a 99th percentile",
            "  sandglass bench --only api --requests 1000000     reads by id beside pgbench, and a long series of them",
            "  sandglass bench --only soak --rounds 1000         a quarter of an hour of pauses, every byte checked"
        })
final class Options {
    private static final int ROUNDS = 25;
    private static final int QUICK_ROUNDS = 5;
    private static final int SANDBOXES = 100;
    private static final int QUICK_SANDBOXES = 10;
    private static final int REQUESTS = 100_000;
    private static final int QUICK_REQUESTS = 20_000;
    private static final int COLD_BOOTS = 5;
    private static final int QUICK_COLD_BOOTS = 1;

    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli
    private CommandSpec spec;

    @Option(names = "--rounds", paramLabel = "N", description = "Rounds; each measures everything once (25).")
    private Optional<Integer> rounds = Optional.empty();

    @Option(names = "--sandboxes", paramLabel = "N", description = "Sandboxes made in one go, alive at once (100).")
    private Optional<Integer> sandboxes = Optional.empty();

    @Option(
            names = "--requests",
            paramLabel = "N",
            description = "Reads of a sandbox in the series that has to stay flat (100000).")
    private Optional<Integer> requests = Optional.empty();

    @Option(
            names = "--only",
            paramLabel = "PART",
            split = ",",
            description = "Only these: ${COMPLETION-CANDIDATES}.",
            converter = PartConverter.class,
            completionCandidates = PartNames.class)
    private List<Part> only = List.of();

    @Option(names = "--quick", description = "A few rounds, half a minute: for a first look.")
    private boolean quick;

    @Option(names = "--profile", description = "Break create and delete down into the host agent's steps.")
    private boolean profile;

    @Option(names = "--check", description = "Exit with 1 when a promise is broken.")
    private boolean check;

    @Option(
            names = "--json",
            paramLabel = "FILE",
            description = "Where to write the figures (build/bench/results/TIME.json).")
    private Optional<Path> json = Optional.empty();

    static final class PartNames implements Iterable<String> {
        @Override
        public java.util.Iterator<String> iterator() {
            return EnumSet.allOf(Part.class).stream().map(Part::toString).iterator();
        }
    }

    static final class PartConverter implements CommandLine.ITypeConverter<Part> {
        @Override
        public Part convert(String text) {
            return EnumSet.allOf(Part.class).stream()
                    .filter(part -> part.toString().equals(text))
                    .findFirst()
                    .orElseThrow(() -> new CommandLine.TypeConversionException(
                            "no part '" + text + "'; there are " + String.join(", ", new PartNames())));
        }
    }

    /** Values that make no sense are a usage error. */
    void validate() {
        if (rounds() < 1 || rounds() > 10_000) {
            throw new ParameterException(spec.commandLine(), "--rounds must be between 1 and 10000");
        }
        if (sandboxes() < 1 || sandboxes() > 1000) {
            throw new ParameterException(spec.commandLine(), "--sandboxes must be between 1 and 1000");
        }
        if (requests() < 1000 || requests() > 100_000_000) {
            throw new ParameterException(spec.commandLine(), "--requests must be between 1000 and 100000000");
        }
    }

    int rounds() {
        return rounds.orElse(quick ? QUICK_ROUNDS : ROUNDS);
    }

    int sandboxes() {
        return sandboxes.orElse(quick ? QUICK_SANDBOXES : SANDBOXES);
    }

    int requests() {
        return requests.orElse(quick ? QUICK_REQUESTS : REQUESTS);
    }

    /** Each takes seconds, so only some rounds have one. */
    int coldBoots() {
        return Math.min(rounds(), quick ? QUICK_COLD_BOOTS : COLD_BOOTS);
    }

    boolean wants(Part part) {
        return (only.isEmpty() ? Part.usual() : only).contains(part);
    }

    /** Some of the parts that are measured in turns. */
    boolean wantsRounds() {
        return wants(Part.CREATE)
                || wants(Part.EXEC)
                || wants(Part.PYTHON)
                || wants(Part.PODMAN)
                || wants(Part.COLD_BOOT);
    }

    boolean isWhole() {
        return only.isEmpty();
    }

    boolean quick() {
        return quick;
    }

    /** How many rounds there are was asked for: then they may take as long as they take. */
    boolean unhurried() {
        return rounds.isPresent();
    }

    boolean profile() {
        return profile;
    }

    boolean check() {
        return check;
    }

    Optional<Path> json() {
        return json;
    }
}
