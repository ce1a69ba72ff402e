package dev.sandglass.cli;

import dev.sandglass.cli.machine.Check;
import dev.sandglass.cli.terminal.Terminal;
import java.io.PrintStream;
import java.util.List;

/** Checks as aligned lines, each remedy below what it is for. */
final class Report {
    private static final int NAME_WIDTH = 13;

    private Report() {}

    static void print(PrintStream out, List<Check> checks) {
        boolean colour = Terminal.isTerminal(1);
        for (Check check : checks) {
            String mark = switch (check.status()) {
                case OK -> coloured(colour, 32, "ok  ");
                case NOTE -> coloured(colour, 33, "note");
                case MISSING -> coloured(colour, 33, "miss");
                case FAIL -> coloured(colour, 31, "FAIL");
            };
            String padding = " ".repeat(Math.max(1, NAME_WIDTH - check.name().length()));
            out.println(mark + "  " + check.name() + padding + check.detail());
            if (!check.remedy().isEmpty()) {
                out.println(" ".repeat(6 + NAME_WIDTH) + "→ " + check.remedy());
            }
        }
    }

    private static String coloured(boolean colour, int code, String text) {
        return colour ? "\033[" + code + "m" + text + "\033[0m" : text;
    }
}
