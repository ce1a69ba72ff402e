package dev.sandglass.cli;

import dev.sandglass.cli.client.ExecSession;
import dev.sandglass.cli.terminal.SignalTrap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * SIGINT, SIGTERM and SIGHUP while a command runs in a sandbox: the first is passed on to it, the second kills it. One
 * that comes before the command has started ends Sandglass's own work at the next {@link #check}.
 */
final class Interrupts {
    private static final Map<String, Integer> SIGNALS = Map.of("HUP", 1, "INT", 2, "TERM", 15);

    private @Nullable ExecSession session;
    private int first;
    private boolean passedOn;

    /** Takes the signals of this process, for the rest of its life. */
    static Interrupts install() {
        var interrupts = new Interrupts();
        SIGNALS.forEach((name, number) -> SignalTrap.on(name, () -> interrupts.arrived(name, number)));
        return interrupts;
    }

    void arrived(String name, int number) {
        ExecSession target;
        boolean again;
        synchronized (this) {
            again = passedOn;
            first = first == 0 ? number : first;
            target = session;
            passedOn = target != null;
        }
        if (target != null && again) {
            target.stop();
        } else if (target != null) {
            target.signal("SIG" + name);
        }
    }

    /** From now on signals go to this command. */
    synchronized void passTo(ExecSession started) {
        checkNow();
        session = started;
    }

    synchronized void passToNobody() {
        session = null;
    }

    synchronized void check() {
        checkNow();
    }

    private void checkNow() {
        if (first != 0) {
            throw new CommandFailure(128 + first, "interrupted");
        }
    }
}
