package dev.sandglass.cli;

import java.lang.reflect.InvocationTargetException;
import java.util.List;
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
    private List<String> options = List.of();

    BenchCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() throws Exception {
        try {
            Class.forName(MAIN).getMethod("main", String[].class).invoke(null, (Object) options.toArray(String[]::new));
            return 0;
        } catch (ClassNotFoundException e) {
            throw new CommandFailure("This build has no benchmarks (module bench).");
        } catch (InvocationTargetException e) {
            if (context.debug()) {
                e.printStackTrace(context.err());
            }
            throw new CommandFailure("The benchmark failed: " + e.getCause());
        }
    }
}
