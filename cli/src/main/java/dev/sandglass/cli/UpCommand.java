package dev.sandglass.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

@Command(name = "up", description = "Start Sandglass on this machine.", mixinStandardHelpOptions = true)
final class UpCommand implements Callable<Integer> {
    private final Context context;

    UpCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() {
        throw new CommandFailure("Not there yet: " + context.root());
    }
}
