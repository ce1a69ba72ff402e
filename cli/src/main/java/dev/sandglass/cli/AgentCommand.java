package dev.sandglass.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

@Command(name = "agent", description = "Run a host agent as a process of its own.", mixinStandardHelpOptions = true)
final class AgentCommand implements Callable<Integer> {
    private final Context context;

    AgentCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() {
        throw new CommandFailure("Not there yet: " + context.root());
    }
}
