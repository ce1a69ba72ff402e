package dev.sandglass.cli;

import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.Json;
import dev.sandglass.cli.client.Sandbox;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
        name = "ps",
        aliases = {"list", "ls"},
        description = "List sandboxes, newest first.",
        mixinStandardHelpOptions = true,
        footerHeading =
                "%nTIMEOUT is the idle time after which a sandbox is paused; \"paused (idle)\" says that this was"
                        + " why.%n%nExamples:%n",
        footer = {"  sandglass ps", "  sandglass ps --json", "  sandglass rm $(sandglass ps -q)"})
final class PsCommand implements Callable<Integer> {
    private final Context context;

    @Option(names = "--json", description = "Print the whole list as JSON.")
    private boolean json;

    @Option(
            names = {"-q", "--quiet"},
            description = "Print ids only.")
    private boolean quiet;

    PsCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() {
        List<Sandbox> sandboxes;
        try (Api api = context.api()) {
            sandboxes = api.list();
        }
        if (json) {
            context.out()
                    .println(Json.writeIndented(
                            Json.array(sandboxes.stream().map(Sandbox::json).toList())));
        } else if (quiet) {
            sandboxes.forEach(sandbox -> context.out().println(sandbox.id()));
        } else {
            print(sandboxes);
        }
        return 0;
    }

    private void print(List<Sandbox> sandboxes) {
        Instant now = Instant.now();
        List<List<String>> rows = new ArrayList<>();
        rows.add(List.of("SANDBOX", "STATUS", "TEMPLATE", "VCPUS", "MEMORY", "TIMEOUT", "AGE", ""));
        for (Sandbox sandbox : sandboxes) {
            rows.add(List.of(
                    sandbox.id(),
                    sandbox.status() + (sandbox.autoPaused() ? " (idle)" : ""),
                    sandbox.template(),
                    Integer.toString(sandbox.vcpus()),
                    sandbox.memoryMb() + " MiB",
                    sandbox.timeoutSec() == 0 ? "-" : age(Duration.ofSeconds(sandbox.timeoutSec())),
                    age(Duration.between(sandbox.createdAt(), now)),
                    sandbox.error()));
        }
        Table.print(context.out(), rows);
    }

    static String age(Duration age) {
        long seconds = Math.max(0, age.toSeconds());
        if (seconds < 100) {
            return seconds + " s";
        }
        if (seconds < 100 * 60) {
            return seconds / 60 + " min";
        }
        return seconds < 72 * 3600 ? seconds / 3600 + " h" : seconds / 86_400 + " d";
    }
}
