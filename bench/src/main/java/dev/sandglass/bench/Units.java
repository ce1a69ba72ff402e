package dev.sandglass.bench;

import java.time.Duration;
import java.util.Locale;

/** Figures for people: three significant digits, the unit beside them. */
final class Units {
    private Units() {}

    static double millis(Duration time) {
        return time.toNanos() / 1e6;
    }

    static String time(Duration time) {
        double millis = millis(time);
        return millis < 1000 ? significant(millis) + " ms" : significant(millis / 1000) + " s";
    }

    static String ratio(double ratio) {
        return significant(ratio) + "×";
    }

    /** Of 10^6 bytes. */
    static String megabytes(long bytes) {
        return significant(bytes / 1e6) + " MB";
    }

    private static String significant(double value) {
        int digits = value < 10 ? 2 : value < 100 ? 1 : 0;
        return String.format(Locale.ROOT, "%." + digits + "f", value);
    }
}
