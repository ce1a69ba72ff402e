package dev.sandglass.cli;

import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Unmatched;

/** Hands over to module bench, which depends on this one and is therefore found by name. */
@Command(
        name = "bench",
        description = "Measure this machine, beside podman where installed.",
        footerHeading = "%nExample:%n",
        footer = "  sandglass bench --help")
final class BenchCommand implements Callable<Integer> {
    private static final String MAIN = "dev.sandglass.bench.Main";

    private final Context context;

    @Unmatched
    private List<String> options = new ArrayList<>();

    BenchCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() throws Exception {
        try {
            return (Integer) Class.forName(MAIN)
                    .getMethod("run", String[].class, Map.class, Path.class, PrintStream.class, PrintStream.class)
                    .invoke(
                            null,
                            options.toArray(String[]::new),
                            context.environment(),
                            context.root(),
                            context.out(),
                            context.err());
        } catch (ClassNotFoundException e) {
            throw new CommandFailure("This build has no benchmarks (module bench).");
        } catch (InvocationTargetException e) {
            throw e.getCause() instanceof Exception cause ? cause : e;
        }
    }
}
