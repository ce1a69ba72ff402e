package dev.sandglass.bench;

import com.google.protobuf.ByteString;
import dev.sandglass.contract.guest.v1.Pty;
import dev.sandglass.contract.guest.v1.StartExec;
import dev.sandglass.host.guest.ExecStream;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.linux.Deadline;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Optional;

/**
 * What the API adds to the guest's own time: commands and single keystrokes, through the server and straight to the agent
 * in the sandbox, in turns. Needs the server's files, where the sandbox's token is.
 */
final class Streams {
    private static final int ROUNDS = 100;
    private static final int QUICK_ROUNDS = 20;
    /** A server that has just been started translates its programs meanwhile. */
    private static final int WARM_UP_ROUNDS = 100;

    private static final int QUICK_WARM_UP_ROUNDS = 20;
    private static final int GUEST_PORT = 49983;
    private static final Duration TIMEOUT = Duration.ofSeconds(30);
    private static final String TRUE = "/bin/true";
    /** A terminal that changes nothing, and a program that sends back what it reads. */
    static final String ECHO = "stty raw -echo; echo ready; exec cat";

    private final Bench bench;

    Streams(Bench bench) {
        this.bench = bench;
    }

    void measure() {
        bench.progress().step("typing");
        Rest rest = bench.rest();
        String id = rest.create();
        Optional<String> token = bench.files().flatMap(files -> files.guestToken(id));
        if (token.isEmpty()) {
            throw new BenchFailure("the server's files are not to be seen, so its guests cannot be spoken to");
        }
        InetSocketAddress address = new InetSocketAddress(rest.hostAddress(id), GUEST_PORT);
        try (GuestClient guest = new GuestClient(address, HexFormat.of().parseHex(token.get()))) {
            execs(id, guest);
            echoes(id, guest);
        }
        rest.delete(id);
    }

    private int rounds() {
        return bench.options().quick() ? QUICK_ROUNDS : ROUNDS;
    }

    private int warmUpRounds() {
        return bench.options().quick() ? QUICK_WARM_UP_ROUNDS : WARM_UP_ROUNDS;
    }

    private void execs(String id, GuestClient guest) {
        for (int round = -warmUpRounds(); round < rounds(); round++) {
            bench.interruption().check();
            int number = round + warmUpRounds();
            StartExec command = StartExec.newBuilder()
                    .setExecId("bench-" + number)
                    .addArgv(TRUE)
                    .build();
            timed(round >= 0, Subject.EXEC_REST, () -> bench.rest().exec(id, TRUE));
            timed(round >= 0, Subject.EXEC_GUEST, () -> guest.exec(command, new byte[0], 0, Deadline.after(TIMEOUT)));
        }
    }

    private void echoes(String id, GuestClient guest) {
        StartExec cat = StartExec.newBuilder()
                .setExecId("bench-echo")
                .addArgv("/bin/sh")
                .addArgv("-c")
                .addArgv(ECHO)
                .setPty(Pty.newBuilder().setCols(80).setRows(24))
                .build();
        try (EchoSocket socket = bench.rest().echo(id);
                ExecStream stream = guest.startExec(cat, Deadline.after(TIMEOUT))) {
            socket.awaitReady();
            awaitReady(stream);
            for (int round = -warmUpRounds(); round < rounds(); round++) {
                bench.interruption().check();
                String key = String.valueOf((char) ('a' + Math.floorMod(round, 26)));
                timed(round >= 0, Subject.ECHO_WEBSOCKET, () -> socket.type(key));
                timed(round >= 0, Subject.ECHO_GUEST, () -> type(stream, key));
            }
        }
    }

    private static void awaitReady(ExecStream stream) {
        ByteString read = ByteString.EMPTY;
        while (!read.toString(StandardCharsets.UTF_8).contains("ready\n")) {
            read = read.concat(output(stream));
        }
    }

    private static void type(ExecStream stream, String key) {
        stream.stdin(key.getBytes(StandardCharsets.UTF_8));
        String echoed = output(stream).toString(StandardCharsets.UTF_8);
        if (!echoed.equals(key)) {
            throw new BenchFailure("The guest sent back '" + echoed + "' for '" + key + "'.");
        }
    }

    private static ByteString output(ExecStream stream) {
        return switch (stream.next(Deadline.after(TIMEOUT)).orElse(null)) {
            case ExecStream.Event.Output output -> output.data();
            case null, default -> throw new BenchFailure("The guest's terminal sent nothing back.");
        };
    }

    private void timed(boolean counts, Subject subject, Runnable work) {
        if (counts) {
            bench.timed(subject, work);
        } else {
            work.run();
        }
    }
}
