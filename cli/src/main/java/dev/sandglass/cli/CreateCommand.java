package dev.sandglass.cli;

import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.Json;
import dev.sandglass.cli.client.Sandbox;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "create",
        description = "Create a sandbox and print its id.",
        mixinStandardHelpOptions = true,
        footerHeading = "%nExamples:%n",
        footer = {
            "  id=$(sandglass create --vcpus 2 --memory 1g)",
            "  sandglass create --env TOKEN=abc --metadata project=demo --json",
            "  sandglass create --from with-numpy --timeout 10m      a clone of a snapshot, paused when idle"
        })
final class CreateCommand implements Callable<Integer> {
    private final Context context;

    @Mixin
    private ShapeOptions shape = new ShapeOptions();

    @Option(
            names = "--timeout",
            paramLabel = "DURATION",
            converter = Durations.class,
            description = "Idle time after which it is paused, e.g. 10m (default: never).")
    private @Nullable Integer timeout;

    @Option(
            names = {"-e", "--env"},
            paramLabel = "KEY=VALUE",
            description = "Environment of its commands; may be repeated.")
    private Map<String, String> env = new HashMap<>();

    @Option(names = "--metadata", paramLabel = "KEY=VALUE", description = "Label of your own; may be repeated.")
    private Map<String, String> metadata = new HashMap<>();

    @Option(names = "--json", description = "Print the whole sandbox as JSON.")
    private boolean json;

    CreateCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() {
        try (Api api = context.api()) {
            Sandbox sandbox = api.create(shape.request(ShapeOptions.optional(timeout), env, metadata));
            context.out().println(json ? Json.writeIndented(sandbox.json()) : sandbox.id());
            return 0;
        }
    }
}
