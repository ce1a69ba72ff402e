package dev.sandglass.host.guest;

import com.google.protobuf.ByteString;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.guest.v1.AttachExec;
import dev.sandglass.contract.guest.v1.ExecInfo;
import dev.sandglass.contract.guest.v1.Failure;
import dev.sandglass.contract.guest.v1.FileInfo;
import dev.sandglass.contract.guest.v1.Freeze;
import dev.sandglass.contract.guest.v1.ListDirectory;
import dev.sandglass.contract.guest.v1.ListExecs;
import dev.sandglass.contract.guest.v1.MakeDirectory;
import dev.sandglass.contract.guest.v1.Metrics;
import dev.sandglass.contract.guest.v1.Move;
import dev.sandglass.contract.guest.v1.Ping;
import dev.sandglass.contract.guest.v1.PowerOff;
import dev.sandglass.contract.guest.v1.ReadFile;
import dev.sandglass.contract.guest.v1.ReadMetrics;
import dev.sandglass.contract.guest.v1.Remove;
import dev.sandglass.contract.guest.v1.Renew;
import dev.sandglass.contract.guest.v1.Reply;
import dev.sandglass.contract.guest.v1.Request;
import dev.sandglass.contract.guest.v1.SignalExec;
import dev.sandglass.contract.guest.v1.StartExec;
import dev.sandglass.contract.guest.v1.Thaw;
import dev.sandglass.contract.guest.v1.WriteFile;
import dev.sandglass.host.linux.Deadline;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/**
 * Client of the agent in one guest. Thread-safe, blocking, meant for virtual threads; each operation has a connection of
 * its own, of which a few are kept. What goes wrong is a {@link PlatformException} with the code it has for the user.
 * Whoever made it closes it; that ends all operations in progress, and no command in the guest.
 */
public final class GuestClient implements AutoCloseable {
    public static final int TOKEN_BYTES = 32;

    /** For replies that the guest gives as soon as it has read the request. */
    private static final Duration PROMPT = Duration.ofSeconds(10);

    /** Half of what is promised to users: the other half is for what happens until they look. */
    private static final Duration CLOCK_ERROR_MAX = Duration.ofMillis(25);

    /**
     * A renewal takes 100 ms in a guest that has just been restored, 5 ms and less the second time. On a busy host any of
     * them may take longer than the clock may be wrong: twenty in a row did while a hundred sandboxes were made. So it is
     * tried for a while, with pauses that let others finish.
     */
    private static final Duration CLOCK_PATIENCE = Duration.ofSeconds(15);

    /** The same for a guest that goes on in any case, and stands still meanwhile. */
    private static final Duration CLOCK_PATIENCE_GOING_ON = Duration.ofMillis(500);

    private static final int CLOCK_ATTEMPTS_AT_ONCE = 5;
    private static final Duration CLOCK_PAUSE = Duration.ofMillis(20);

    /** For what a disk may take long to do: the guest goes on even if we do not wait. */
    private static final Duration DISK = Duration.ofMinutes(5);

    /** A guest is held for a tenth of a second; on a host that is busy or has slow disks for some times that. */
    private static final Duration FROZEN_PATIENCE = Duration.ofSeconds(20);

    private static final Duration FROZEN_POLL = Duration.ofMillis(10);

    private static final Request THAW =
            Request.newBuilder().setThaw(Thaw.getDefaultInstance()).build();

    private static final int DIRECTORY_ENTRIES_MAX = 100_000;

    private final ConnectionPool pool;

    /** Connects when it is first used. */
    public GuestClient(InetSocketAddress address, byte[] token) {
        this(new ConnectionPool(address, ByteString.copyFrom(token)));
        if (token.length != TOKEN_BYTES) {
            throw new IllegalArgumentException("a guest's token has " + TOKEN_BYTES + " bytes");
        }
    }

    private GuestClient(ConnectionPool pool) {
        this.pool = pool;
    }

    /**
     * Connects again and again until the agent answers; one authenticated connection is then ready for use. A guest that
     * refuses the token or the protocol is not waited for.
     */
    public static GuestClient awaitReady(InetSocketAddress address, byte[] token, Deadline deadline) {
        GuestClient client = new GuestClient(address, token);
        try {
            client.pool.release(Readiness.await(client.pool, deadline));
            return client;
        } catch (RuntimeException failure) {
            client.close();
            throw failure;
        }
    }

    /** Of the agent, as it said when it was connected to; opens a connection if there is none. */
    public String agentVersion() {
        return call(
                Request.newBuilder().setPing(Ping.getDefaultInstance()).build(),
                Deadline.after(PROMPT),
                (connection, reply) -> {
                    requireDone(reply);
                    return connection.welcome().getAgentVersion();
                });
    }

    /** What this host and its agent speak with each other; 0: they have not spoken yet. */
    public int protocol() {
        return pool.protocol();
    }

    /** Whether this host speaks with an agent that was spoken with in this version of the protocol. */
    public static boolean speaks(int protocol) {
        return protocol >= GuestConnection.PROTOCOL_MIN && protocol <= GuestConnection.protocolMax();
    }

    public void ping(Deadline deadline) {
        callDone(Request.newBuilder().setPing(Ping.getDefaultInstance()).build(), deadline);
    }

    /**
     * Makes the guest an individual, and lets its user processes go on only when its clock is known to be right. Also when
     * an earlier attempt had been carried out and its answer was lost. When it fails, nothing has been thawed.
     */
    public void renew(Renewal renewal, Deadline deadline) {
        if (!renewedPrecisely(renewal, deadline, CLOCK_PATIENCE)) {
            throw new PlatformException(
                    ErrorCode.HOST_UNAVAILABLE,
                    "The sandbox's clock could not be set precisely: this host is too busy. Try again.");
        }
        if (renewal.thaw()) {
            callDone(THAW, deadline);
        }
    }

    /**
     * Sets the clock of a guest that has only stood still where it is, and lets its user processes go on. Connections stay:
     * those of user processes, and ours with all that is under way on them.
     *
     * @param entropy 32 to 512 random bytes, used once
     */
    public void goOn(InstantSource clock, byte[] entropy, Deadline deadline) {
        // On a host that is too busy to be sure its clock is as right as it can be, and better than before.
        boolean _ = renewedPrecisely(
                new Renewal(pool.token().toByteArray(), clock, entropy, "", true, true),
                deadline,
                CLOCK_PATIENCE_GOING_ON);
        callDone(THAW, deadline);
    }

    private boolean renewedPrecisely(Renewal renewal, Deadline deadline, Duration most) {
        Deadline patience = Deadline.after(deadline.remaining().dividedBy(2)).orAfter(most);
        for (int attempt = 1; renewOnce(renewal, deadline).compareTo(CLOCK_ERROR_MAX) > 0; attempt++) {
            if (patience.expired()) {
                return false;
            }
            if (attempt >= CLOCK_ATTEMPTS_AT_ONCE) {
                LockSupport.parkNanos(CLOCK_PAUSE.toNanos());
            }
        }
        return true;
    }

    /** By how much the guest's clock is wrong at most. */
    private Duration renewOnce(Renewal renewal, Deadline deadline) {
        Renewing renewing = new Renewing(renewal);
        try {
            Optional<GuestConnection> idle = pool.findIdle();
            if (idle.isPresent()) {
                Optional<Duration> error = renewOver(idle.get(), renewing, deadline);
                if (error.isPresent()) {
                    return error.get();
                }
            }
            return renewing.finish(openRenewing(renewing, deadline), deadline);
        } catch (GuestConnection.HelloRefused refused) {
            throw GuestFailures.of(refused.failure());
        } catch (IOException failure) {
            throw pool.failureOf(failure);
        }
    }

    /** Empty: the connection broke, and whether the guest has renewed itself is not known. */
    private Optional<Duration> renewOver(GuestConnection connection, Renewing renewing, Deadline deadline)
            throws IOException {
        try {
            connection.send(renewing.request());
            return Optional.of(renewing.finish(connection, deadline));
        } catch (java.net.SocketTimeoutException late) {
            throw late;
        } catch (IOException broken) {
            pool.discard(connection);
            return Optional.empty();
        }
    }

    private GuestConnection openRenewing(Renewing renewing, Deadline deadline) throws IOException {
        try {
            return pool.open(pool.token(), PROMPT, deadline, Optional.of(renewing::request));
        } catch (GuestConnection.HelloRefused refused) {
            if (refused.failure().getCode() != Failure.Code.UNAUTHENTICATED) {
                throw refused;
            }
            return pool.open(renewing.newToken, PROMPT, deadline, Optional.of(renewing::request));
        }
    }

    /** One exchange of Renew, and what it says about the clock. */
    private final class Renewing {
        private final Renewal renewal;
        private final ByteString newToken;
        private Instant sent = Instant.EPOCH;

        Renewing(Renewal renewal) {
            this.renewal = renewal;
            this.newToken = ByteString.copyFrom(renewal.token());
        }

        Request request() {
            sent = renewal.clock().instant();
            return Request.newBuilder()
                    .setRenew(Renew.newBuilder()
                            .setToken(newToken)
                            .setClockUnixNanos(unixNanos(sent))
                            .setEntropy(ByteString.copyFrom(renewal.entropy()))
                            .setHostname(renewal.hostname())
                            .setKeepConnections(renewal.keepConnections()))
                    .build();
        }

        Duration finish(GuestConnection connection, Deadline deadline) throws IOException {
            try {
                Reply reply = connection.receive(deadline);
                Instant received = renewal.clock().instant();
                requireDone(reply);
                pool.renewed(newToken, connection, renewal.keepConnections() && connection.keepsOthers());
                pool.release(connection);
                return clockError(reply.getDone().getClockUnixNanos(), received);
            } catch (IOException | RuntimeException failure) {
                pool.discard(connection);
                throw failure;
            }
        }

        /** The way there, and the way back: which took how long is not known. Agents of protocol 1 do not say their time. */
        private Duration clockError(long guestNanos, Instant received) {
            return guestNanos == 0
                    ? Duration.between(sent, received)
                    : Duration.ofNanos(unixNanos(received) - guestNanos).abs();
        }
    }

    private static long unixNanos(Instant now) {
        return Math.addExact(Math.multiplyExact(now.getEpochSecond(), 1_000_000_000L), now.getNano());
    }

    /** Stops all user processes. Not all standing still in time is a failure, and they stay asked to. */
    public void freeze(Duration timeout) {
        Request request = Request.newBuilder()
                .setFreeze(Freeze.newBuilder().setTimeoutMs((int) timeout.toMillis()))
                .build();
        callDone(request, Deadline.after(timeout.plus(PROMPT)));
    }

    public void thaw() {
        callDone(THAW, Deadline.after(PROMPT));
    }

    /**
     * The command's output is read from the stream; closing that leaves the command running. While user processes are held
     * for a moment, as they are for a snapshot, it waits.
     */
    public ExecStream startExec(StartExec start, Deadline deadline) {
        Request request = Request.newBuilder().setStartExec(start).build();
        Deadline patience = deadline.orAfter(FROZEN_PATIENCE);
        while (true) {
            Optional<ExecStream> started = start(request, deadline, (connection, reply) -> {
                if (isHeld(reply) && !patience.expired()) {
                    pool.release(connection);
                    return Optional.empty();
                }
                return Optional.of(stream(connection, reply));
            });
            if (started.isPresent()) {
                return started.get();
            }
            LockSupport.parkNanos(FROZEN_POLL.toNanos());
        }
    }

    private static boolean isHeld(Reply reply) {
        return reply.getKindCase() == Reply.KindCase.FAILURE
                && reply.getFailure().getCode() == Failure.Code.FROZEN;
    }

    /** Goes on after the first {@code afterSeq} bytes of output. Whoever read the command before is detached. */
    public ExecStream attachExec(String execId, long afterSeq, Deadline deadline) {
        AttachExec attach =
                AttachExec.newBuilder().setExecId(execId).setAfterSeq(afterSeq).build();
        return start(Request.newBuilder().setAttachExec(attach).build(), deadline, this::stream);
    }

    private ExecStream stream(GuestConnection connection, Reply reply) {
        if (reply.getKindCase() != Reply.KindCase.EXEC_STARTED) {
            throw GuestFailures.unexpected(reply);
        }
        return new GuestExecStream(pool, connection, reply.getExecStarted());
    }

    /**
     * Runs a command to its end. Keeps the first bytes of each stream and throws the rest away. When the deadline passes
     * the command is killed; better give it a timeout of its own.
     */
    public ExecResult exec(StartExec start, byte[] stdin, int keepBytesPerStream, Deadline deadline) {
        return new OneShot(this, keepBytesPerStream, deadline).run(start, stdin);
    }

    public List<ExecInfo> listExecs() {
        Request request = Request.newBuilder()
                .setListExecs(ListExecs.getDefaultInstance())
                .build();
        return call(request, Deadline.after(PROMPT), (connection, first) -> {
            List<ExecInfo> all = new ArrayList<>();
            Reply reply = first;
            for (; ; ) {
                if (reply.getKindCase() != Reply.KindCase.EXECS) {
                    throw GuestFailures.unexpected(reply);
                }
                all.addAll(reply.getExecs().getExecsList());
                if (reply.getExecs().getLast()) {
                    return all;
                }
                reply = connection.receive(Deadline.after(PROMPT));
            }
        });
    }

    /** To the process group of a running command. */
    public void signalExec(String execId, int signal) {
        SignalExec request =
                SignalExec.newBuilder().setExecId(execId).setNumber(signal).build();
        callDone(Request.newBuilder().setSignalExec(request).build(), Deadline.after(PROMPT));
    }

    /**
     * Replaces the file once all of {@code data} has been read; if that fails, nothing is changed.
     *
     * @param mode permission bits; 0 keeps those of the old file, or is 0644
     * @param user whose file it becomes, and who must be allowed to write it; empty for root
     */
    public void writeFile(String path, int mode, String user, InputStream data) {
        WriteFile request =
                WriteFile.newBuilder().setPath(path).setMode(mode).setUser(user).build();
        GuestConnection connection = acquire(Deadline.after(PROMPT));
        try {
            requireDone(new Upload(connection).send(request, data));
            pool.release(connection);
        } catch (IOException failure) {
            pool.discard(connection);
            throw pool.failureOf(failure);
        } catch (RuntimeException failure) {
            pool.discard(connection);
            throw failure;
        }
    }

    /** {@code length} 0 reads to the end. The caller closes what it gets. */
    public FileRead readFile(String path, long offset, long length) {
        ReadFile request = ReadFile.newBuilder()
                .setPath(path)
                .setOffset(offset)
                .setLength(length)
                .build();
        return start(Request.newBuilder().setReadFile(request).build(), Deadline.after(DISK), (connection, reply) -> {
            if (reply.getKindCase() != Reply.KindCase.FILE_INFO) {
                throw GuestFailures.unexpected(reply, ErrorCode.NOT_FOUND);
            }
            return new FileRead(reply.getFileInfo(), new Download(pool, connection));
        });
    }

    /** In no particular order. More than 100,000 entries are refused. */
    public List<FileInfo> listDirectory(String path) {
        Request request = Request.newBuilder()
                .setListDirectory(ListDirectory.newBuilder().setPath(path))
                .build();
        return call(request, Deadline.after(DISK), (connection, first) -> {
            List<FileInfo> all = new ArrayList<>();
            Reply reply = first;
            for (; ; ) {
                if (reply.getKindCase() != Reply.KindCase.ENTRIES) {
                    throw GuestFailures.unexpected(reply, ErrorCode.INVALID_REQUEST);
                }
                all.addAll(reply.getEntries().getEntriesList());
                if (all.size() > DIRECTORY_ENTRIES_MAX) {
                    throw new TooManyEntries();
                }
                if (reply.getEntries().getLast()) {
                    return all;
                }
                reply = connection.receive(Deadline.after(DISK));
            }
        });
    }

    /** Parents too; an existing directory is fine. */
    public void makeDirectory(String path) {
        callDone(
                Request.newBuilder()
                        .setMakeDirectory(MakeDirectory.newBuilder().setPath(path))
                        .build(),
                Deadline.after(DISK));
    }

    /** Within one file system; never over something that exists. */
    public void move(String from, String to) {
        callDone(
                Request.newBuilder()
                        .setMove(Move.newBuilder().setFrom(from).setTo(to))
                        .build(),
                Deadline.after(DISK));
    }

    /** With all that is in it. */
    public void remove(String path) {
        callDone(
                Request.newBuilder()
                        .setRemove(Remove.newBuilder().setPath(path))
                        .build(),
                Deadline.after(DISK));
    }

    public Metrics metrics() {
        Request request = Request.newBuilder()
                .setReadMetrics(ReadMetrics.getDefaultInstance())
                .build();
        return call(request, Deadline.after(PROMPT), (connection, reply) -> {
            if (reply.getKindCase() != Reply.KindCase.METRICS) {
                throw GuestFailures.unexpected(reply);
            }
            return reply.getMetrics();
        });
    }

    /** Returns when the guest has begun to switch itself off. */
    public void powerOff() {
        callDone(Request.newBuilder().setPowerOff(PowerOff.getDefaultInstance()).build(), Deadline.after(PROMPT));
    }

    @Override
    public void close() {
        pool.close();
    }

    /**
     * Closes all connections because the sandbox is about to stand still. Operations in progress, streams of commands
     * included, and later ones fail with {@link ErrorCode#INVALID_STATE} and this reason. Commands in the guest are not
     * touched: a client made after the next renewal attaches to them.
     *
     * @param reason for users, as "The sandbox is being paused."
     */
    public void closeConnections(String reason) {
        pool.close(ErrorCode.INVALID_STATE, reason);
    }

    // ---- One operation

    /** Makes of the first reply what the operation yields. A refusal is a PlatformException. */
    private interface Answer<T> {
        T from(GuestConnection connection, Reply reply) throws IOException;
    }

    /** A refusal after which replies are still under way. */
    private static final class TooManyEntries extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    private static void requireDone(Reply reply) {
        if (reply.getKindCase() != Reply.KindCase.DONE) {
            throw GuestFailures.unexpected(reply);
        }
    }

    private void callDone(Request request, Deadline deadline) {
        boolean _ = call(request, deadline, (connection, reply) -> {
            requireDone(reply);
            return true;
        });
    }

    /** An operation that is over when its answer is there. */
    private <T> T call(Request request, Deadline deadline, Answer<T> answer) {
        return start(request, deadline, (connection, reply) -> {
            T result = answer.from(connection, reply);
            pool.release(connection);
            return result;
        });
    }

    /** An operation whose connection the answer keeps. */
    private <T> T start(Request request, Deadline deadline, Answer<T> answer) {
        Optional<GuestConnection> idle = pool.findIdle();
        if (idle.isPresent()) {
            Optional<Reply> reply = tryIdle(idle.get(), request, deadline);
            if (reply.isPresent()) {
                return finish(idle.get(), reply.get(), answer);
            }
        }
        GuestConnection connection = open(deadline);
        return finish(connection, firstReply(connection, request, deadline), answer);
    }

    /** Empty: the connection had ended before the guest could read the request. */
    private Optional<Reply> tryIdle(GuestConnection connection, Request request, Deadline deadline) {
        try {
            connection.send(request);
            return Optional.of(connection.receive(deadline));
        } catch (java.net.SocketTimeoutException late) {
            pool.discard(connection);
            throw pool.failureOf(late);
        } catch (IOException broken) {
            pool.discard(connection);
            return Optional.empty();
        }
    }

    private Reply firstReply(GuestConnection connection, Request request, Deadline deadline) {
        try {
            connection.send(request);
            return connection.receive(deadline);
        } catch (IOException failure) {
            pool.discard(connection);
            throw pool.failureOf(failure);
        }
    }

    private <T> T finish(GuestConnection connection, Reply reply, Answer<T> answer) {
        try {
            return answer.from(connection, reply);
        } catch (PlatformException refused) {
            // The connection stays usable where the failure is the whole reply.
            if (reply.getKindCase() == Reply.KindCase.FAILURE) {
                pool.release(connection);
            } else {
                pool.discard(connection);
            }
            throw refused;
        } catch (TooManyEntries tooMany) {
            pool.discard(connection);
            throw new PlatformException(
                    ErrorCode.TOO_LARGE, "The directory has more than " + DIRECTORY_ENTRIES_MAX + " entries.");
        } catch (IOException failure) {
            pool.discard(connection);
            throw pool.failureOf(failure);
        }
    }

    private GuestConnection acquire(Deadline deadline) {
        return pool.findIdle().orElseGet(() -> open(deadline));
    }

    private GuestConnection open(Deadline deadline) {
        try {
            return pool.open(deadline);
        } catch (GuestConnection.HelloRefused refused) {
            throw GuestFailures.of(refused.failure());
        } catch (IOException failure) {
            throw pool.failureOf(failure);
        }
    }
}
