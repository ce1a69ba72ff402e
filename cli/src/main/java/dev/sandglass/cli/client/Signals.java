package dev.sandglass.cli.client;

import java.util.List;
import java.util.Locale;
import tools.jackson.databind.JsonNode;

/** Signal numbers of Linux on x86-64. */
final class Signals {
    private static final List<String> NAMES = List.of(
            "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
            "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
            "WINCH", "IO", "PWR", "SYS");

    private Signals() {}

    /** From a number or a name, with or without SIG; 0 when absent or unknown. */
    static int number(JsonNode signal) {
        if (signal.isNumber()) {
            return signal.asInt(0);
        }
        String name = signal.asString("").toUpperCase(Locale.ROOT);
        return NAMES.indexOf(name.startsWith("SIG") ? name.substring(3) : name) + 1;
    }
}
