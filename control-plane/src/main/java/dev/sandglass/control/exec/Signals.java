package dev.sandglass.control.exec;

import static dev.sandglass.control.http.Texts.invalid;

import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Signals of Linux on x86-64, by name or number. */
final class Signals {
    private static final List<String> NAMES = List.of(
            "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
            "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
            "WINCH", "IO", "PWR", "SYS");
    private static final int LAST = 64;

    private Signals() {}

    /** From {@code "SIGINT"}, {@code "INT"}, {@code "2"} or 2. */
    static int number(@Nullable Object sent) {
        String text = String.valueOf(sent).toUpperCase(Locale.ROOT);
        int named = NAMES.indexOf(text.startsWith("SIG") ? text.substring(3) : text) + 1;
        if (named > 0) {
            return named;
        }
        if (text.matches("[0-9]{1,2}")) {
            int number = Integer.parseInt(text);
            if (number >= 1 && number <= LAST) {
                return number;
            }
        }
        throw invalid("The field 'signal' must be the name or number of a signal, like SIGINT or 2.");
    }
}
