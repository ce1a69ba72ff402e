package dev.sandglass.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/** Here for the help only: the script runs the tests, since they build everything first. */
@Command(name = "test", description = "Run all tests of Sandglass itself.", mixinStandardHelpOptions = true)
final class TestCommand implements Callable<Integer> {
    @Override
    public Integer call() {
        throw new CommandFailure(2, "`./sandglass test` takes no arguments and is run from a clone of the sources.");
    }
}
