package dev.sandglass.cli;

import dev.sandglass.cli.client.CreateRequest;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Options of {@code run} and {@code create} about the sandbox itself. */
final class ShapeOptions {
    @Option(
            names = {"--from", "--template"},
            paramLabel = "NAME",
            description = "What it is a clone of: a snapshot, which says vCPUs and memory too, or base (the default).")
    private @Nullable String template;

    @Option(names = "--vcpus", paramLabel = "N", description = "Virtual processors (default: 1).")
    private @Nullable Integer vcpus;

    @Option(
            names = "--memory",
            paramLabel = "SIZE",
            converter = Megabytes.class,
            description = "Memory in steps of 128 MiB, e.g. 512m or 2g (default: 512m).")
    private @Nullable Integer memory;

    CreateRequest request(OptionalInt timeoutSec, Map<String, String> env, Map<String, String> metadata) {
        return new CreateRequest(
                Optional.ofNullable(template), optional(vcpus), optional(memory), timeoutSec, env, metadata);
    }

    static OptionalInt optional(@Nullable Integer value) {
        return value == null ? OptionalInt.empty() : OptionalInt.of(value);
    }
}
