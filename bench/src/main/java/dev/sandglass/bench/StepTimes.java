package dev.sandglass.bench;

import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The host agent's step timers in the server's /metrics. */
final class StepTimes {
    private static final Pattern LINE =
            Pattern.compile("sandglass_step_seconds_(count|sum)\\{.*?step=\"([^\"]+)\".*?}\\s+(\\S+).*");

    private StepTimes() {}

    /** Of one step since the server's start, or between two readings. */
    record Total(long count, double seconds) {
        double meanMillis() {
            return count == 0 ? 0 : seconds * 1000 / count;
        }
    }

    /** By step, from Prometheus's text format; lines of other metrics are passed over. */
    static Map<String, Total> parse(String text) {
        Map<String, Total> totals = new TreeMap<>();
        text.lines().map(LINE::matcher).filter(Matcher::matches).forEach(line -> {
            double value = Double.parseDouble(line.group(3));
            Total more = line.group(1).equals("count") ? new Total((long) value, 0) : new Total(0, value);
            totals.merge(line.group(2), more, StepTimes::plus);
        });
        return totals;
    }

    private static Total plus(Total a, Total b) {
        return new Total(a.count + b.count, a.seconds + b.seconds);
    }

    /** What happened between two readings; steps that did not are left out. */
    static Map<String, Total> between(Map<String, Total> before, Map<String, Total> after) {
        Map<String, Total> passed = new TreeMap<>();
        after.forEach((step, total) -> {
            Total earlier = before.getOrDefault(step, new Total(0, 0));
            if (total.count > earlier.count) {
                passed.put(step, new Total(total.count - earlier.count, total.seconds - earlier.seconds));
            }
        });
        return passed;
    }
}
