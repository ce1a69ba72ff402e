package dev.sandglass.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

@Command(
        name = "control-plane",
        description = "Run the control plane as a process of its own.",
        mixinStandardHelpOptions = true)
final class ControlPlaneCommand implements Callable<Integer> {
    private final Context context;

    ControlPlaneCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() {
        throw new CommandFailure("Not there yet: " + context.root());
    }
}
