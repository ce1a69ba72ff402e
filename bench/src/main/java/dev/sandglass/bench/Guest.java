package dev.sandglass.bench;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Objects;

/**
 * A sandbox in which one process lives that changes its memory when it is told to, and knows what it has written. Used by
 * one thread at a time.
 */
final class Guest {
    private static final String START =
            "mkfifo /tmp/rewriter.in /tmp/rewriter.out && python3 -c \"$0\" </dev/null >/tmp/rewriter.err 2>&1 &";
    private static final String ORDER = "echo $0 >/tmp/rewriter.in; cat /tmp/rewriter.out";

    private final Rest rest;
    private final String id;
    private int orders;

    private Guest(Rest rest, String id) {
        this.rest = rest;
        this.id = id;
    }

    /** In a new sandbox, once it has changed so many MB. */
    static Guest create(Rest rest, int memoryMb, int megabytes) {
        return startIn(rest, rest.create(memoryMb), megabytes);
    }

    static Guest startIn(Rest rest, String id, int megabytes) {
        rest.exec(id, "/bin/sh", "-c", START, program());
        Guest guest = new Guest(rest, id);
        rest.exec(id, "/bin/sh", "-c", "until [ -p /tmp/rewriter.out ]; do sleep 0.01; done");
        guest.change(megabytes);
        return guest;
    }

    String id() {
        return id;
    }

    /**
     * Lets the process check what it has and change so many MB of its memory.
     *
     * @throws BenchFailure if it is another process than the one that was started, or a byte is wrong
     */
    void change(int megabytes) {
        orders++;
        String answer = rest.exec(id, "/bin/sh", "-c", ORDER, Integer.toString(megabytes));
        if (!answer.equals(orders + " ok\n")) {
            throw new BenchFailure(
                    "The process in " + id + " answered '" + answer.strip() + "' instead of '" + orders + " ok'.");
        }
    }

    private static String program() {
        try (InputStream file = Objects.requireNonNull(Guest.class.getResourceAsStream("rewriter.py"))) {
            return new String(file.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
