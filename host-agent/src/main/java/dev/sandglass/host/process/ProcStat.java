package dev.sandglass.host.process;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Optional;

/** The fields of {@code /proc/PID/stat} that tell one process from the next with its number. */
record ProcStat(int pid, char state, long startTicks) {
    /** Positions after the command name (field 2): state is field 3, starttime field 22; see proc(5). */
    private static final int STATE = 0;

    private static final int START_TICKS = 22 - 3;

    static Optional<ProcStat> read(int pid) {
        try {
            return Optional.of(parse(Files.readString(Path.of("/proc", Integer.toString(pid), "stat"))));
        } catch (NoSuchFileException e) {
            return Optional.empty();
        } catch (IOException e) {
            // ESRCH: it ended between open and read.
            return Optional.empty();
        }
    }

    /**
     * The command name is whatever the process chose, spaces and parentheses included: it ends at the last one.
     *
     * @throws IllegalArgumentException if {@code line} is not one of the kernel's
     */
    static ProcStat parse(String line) {
        int open = line.indexOf(" (");
        int close = line.lastIndexOf(") ");
        if (open < 1 || close < open) {
            throw new IllegalArgumentException("not a line of /proc/PID/stat: " + line);
        }
        String[] fields = line.substring(close + 2).strip().split(" ", -1);
        if (fields.length <= START_TICKS || fields[STATE].length() != 1) {
            throw new IllegalArgumentException("not a line of /proc/PID/stat: " + line);
        }
        return new ProcStat(
                Integer.parseInt(line.substring(0, open)),
                fields[STATE].charAt(0),
                Long.parseLong(fields[START_TICKS]));
    }

    /** A zombie runs nothing any more. */
    boolean running() {
        return state != 'Z' && state != 'X';
    }
}
