package dev.sandglass.cli.terminal;

import dev.sandglass.contract.Progress;
import java.io.PrintStream;
import java.util.Locale;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Progress for people. On a terminal the current step is one line that moves, with a bar when its size is known; each
 * finished step that took a while stays as a line. Elsewhere each step is one plain line, and a long one says now and
 * then how far it is. Thread-safe. {@link #close} ends the last step.
 */
public final class ConsoleProgress implements Progress, AutoCloseable {
    private static final int BAR = 20;
    private static final long REDRAW_MILLIS = 200;
    private static final long PLAIN_SECONDS = 15;
    /** A step shorter than this leaves no line behind. */
    private static final long WORTH_MENTIONING_MILLIS = 300;

    private static final int TEXT_MAX = 60;

    private final PrintStream out;
    private final boolean terminal;
    private final ScheduledExecutorService ticker = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("progress").factory());

    private String text = "";
    private long began;
    private long spoke;
    private long done;
    private long total;
    private String unit = "";

    public ConsoleProgress(PrintStream out, boolean terminal) {
        this.out = out;
        this.terminal = terminal;
        if (terminal) {
            var ignored = ticker.scheduleAtFixedRate(this::redraw, REDRAW_MILLIS, REDRAW_MILLIS, TimeUnit.MILLISECONDS);
        }
    }

    @Override
    public synchronized void step(String next) {
        end();
        text = capitalised(next);
        began = System.nanoTime();
        spoke = began;
        done = 0;
        total = 0;
        if (!terminal) {
            out.println("  " + text + " …");
        }
    }

    @Override
    public synchronized void advance(long nowDone, long ofTotal, String inUnit) {
        done = nowDone;
        total = ofTotal;
        unit = inUnit;
        if (!terminal && !text.isEmpty() && secondsSince(spoke) >= PLAIN_SECONDS) {
            spoke = System.nanoTime();
            out.println("  " + text + ": " + amount() + ", " + secondsSince(began) + " s");
        }
    }

    private synchronized void redraw() {
        if (text.isEmpty()) {
            return;
        }
        String line = "  " + shortened() + bar() + "  " + secondsSince(began) + " s";
        out.print("\r\033[K" + line);
        out.flush();
    }

    private String shortened() {
        return text.length() <= TEXT_MAX ? text : text.substring(0, TEXT_MAX - 1) + "…";
    }

    private String bar() {
        if (total <= 0) {
            return done > 0 ? "  " + amount() : "";
        }
        int filled = Math.clamp(done * BAR / total, 0, BAR);
        return "  [" + "#".repeat(filled) + "·".repeat(BAR - filled) + "] " + amount();
    }

    private String amount() {
        if (unit.equals("bytes")) {
            return mebibytes(done) + (total > 0 ? " of " + mebibytes(total) : "") + " MiB";
        }
        if (unit.equals("%")) {
            return done + " %";
        }
        return done + (total > 0 ? "/" + total : "") + (unit.isEmpty() ? "" : " " + unit);
    }

    private static String capitalised(String text) {
        return text.isEmpty() ? text : Character.toUpperCase(text.charAt(0)) + text.substring(1);
    }

    private static String mebibytes(long bytes) {
        return String.format(Locale.ROOT, "%.1f", bytes / 1048576.0);
    }

    /** Ends the last step. */
    public synchronized void finish() {
        end();
    }

    private void end() {
        if (text.isEmpty()) {
            return;
        }
        long millis = (System.nanoTime() - began) / 1_000_000;
        if (terminal) {
            out.print("\r\033[K");
            if (millis >= WORTH_MENTIONING_MILLIS) {
                out.println("  " + shortened() + String.format(Locale.ROOT, "  %.1f s", millis / 1000.0));
            }
            out.flush();
        }
        text = "";
    }

    private static long secondsSince(long nanos) {
        return (System.nanoTime() - nanos) / 1_000_000_000;
    }

    @Override
    public synchronized void close() {
        end();
        ticker.shutdownNow();
    }
}
