package dev.sandglass.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

@Command(name = "down", description = "End it.", mixinStandardHelpOptions = true)
final class DownCommand implements Callable<Integer> {
    private final Context context;

    DownCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() {
        throw new CommandFailure("Not there yet: " + context.root());
    }
}
