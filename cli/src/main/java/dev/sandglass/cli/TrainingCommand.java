package dev.sandglass.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/** What the build runs once, for the JVM to learn what short commands load (its AOT cache). */
@Command(name = "training-run", hidden = true)
final class TrainingCommand implements Callable<Integer> {
    @Override
    public Integer call() {
        return 0;
    }
}
