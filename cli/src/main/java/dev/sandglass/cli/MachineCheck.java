package dev.sandglass.cli;

import dev.sandglass.cli.machine.Check;
import dev.sandglass.cli.machine.Check.Status;
import dev.sandglass.cli.machine.Machine;
import dev.sandglass.cli.machine.Packages;
import dev.sandglass.cli.server.Settings;
import dev.sandglass.contract.Progress;
import java.io.IOException;
import java.util.List;

/** Makes sure, before anything starts, that a server can run on this machine. */
final class MachineCheck {
    private MachineCheck() {}

    /** Installs packages that are missing where that is possible; what else is wrong ends the command. */
    static void require(Settings settings, Progress progress) throws IOException, InterruptedException {
        require(
                new Machine(settings.variables(), settings.home().path(), settings.listen(), false),
                settings,
                progress);
    }

    /** For an agent alone: the API's port is not its own, a control plane on the same machine may have it. */
    static void requireForAgent(Settings settings, Progress progress) throws IOException, InterruptedException {
        require(new Machine(settings.variables(), settings.home().path(), settings.listen(), true), settings, progress);
    }

    private static void require(Machine machine, Settings settings, Progress progress)
            throws IOException, InterruptedException {
        progress.step("checking the machine");
        List<Check> checks = machine.inspect();
        Packages packages = new Packages(settings.variables());
        boolean root = checks.stream().anyMatch(check -> check.name().equals("root") && check.status() == Status.OK);
        boolean missing = checks.stream().anyMatch(check -> check.status() == Status.MISSING);
        boolean failed = checks.stream().anyMatch(check -> check.status() == Status.FAIL);
        if (missing && !failed && root && packages.hasApt()) {
            packages.install(packages.missing(), progress);
            checks = machine.inspect();
        }
        List<String> problems = checks.stream()
                .filter(check -> check.status() == Status.FAIL || check.status() == Status.MISSING)
                .map(check -> check.name() + ": " + check.detail() + "\n    → " + check.remedy())
                .toList();
        if (!problems.isEmpty()) {
            throw new CommandFailure("Sandglass cannot run here yet.\n  " + String.join("\n  ", problems));
        }
    }
}
