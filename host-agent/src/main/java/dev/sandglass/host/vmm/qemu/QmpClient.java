package dev.sandglass.host.vmm.qemu;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.DeadlineExceeded;
import dev.sandglass.host.vmm.VmmFailed;
import java.io.IOException;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/**
 * QMP over a Unix socket: one JSON object a line, commands answered by their id, events in between. QEMU is not trusted:
 * a line has a bound, and no wait is without a deadline. Commands may be sent ahead of the answers of earlier ones; QEMU
 * runs them in order. Thread-safe; a virtual thread reads until {@link #close} or the other end's.
 */
final class QmpClient implements AutoCloseable {
    /** The longest answer in use, {@code ringbuf-read}, is 64 KiB of console in JSON escapes: at most 6 characters each. */
    private static final int LINE_BYTES_MAX = 1 << 20;

    private static final JsonMapper JSON = JsonMapper.shared();

    private record AwaitedEvent(String name, Predicate<JsonNode> wanted, CompletableFuture<JsonNode> seen) {
        boolean matches(JsonNode message) {
            return name.equals(message.path("event").asString("")) && wanted.test(message.path("data"));
        }
    }

    private final String subject;
    private final SocketChannel channel;

    /** Why the connection ended, in the words of who knows more than "end of stream". */
    private final Supplier<String> lastWords;

    @GuardedBy("this")
    private final Map<Long, CompletableFuture<JsonNode>> pending = new HashMap<>();

    @GuardedBy("this")
    private final List<AwaitedEvent> awaitedEvents = new ArrayList<>();

    @GuardedBy("this")
    private long lastId;

    @GuardedBy("this")
    private @Nullable VmmFailed ended;

    private QmpClient(String subject, SocketChannel channel, Supplier<String> lastWords) {
        this.subject = subject;
        this.channel = channel;
        this.lastWords = lastWords;
    }

    /**
     * Connects and enters command mode without waiting for the greeting, which QEMU sends of itself.
     *
     * @throws IOException when nobody listens there (yet)
     */
    static QmpClient connect(String subject, SocketAddress address, Supplier<String> lastWords) throws IOException {
        SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            channel.connect(address);
        } catch (IOException e) {
            channel.close();
            throw e;
        }
        QmpClient client = new QmpClient(subject, channel, lastWords);
        Thread.ofVirtual().name("qmp-" + subject).start(client::readLines);
        var _ = client.send("qmp_capabilities", arguments());
        return client;
    }

    static ObjectNode arguments() {
        return JsonNodeFactory.instance.objectNode();
    }

    JsonNode execute(String command, Deadline deadline) {
        return execute(command, arguments(), deadline);
    }

    JsonNode execute(String command, ObjectNode arguments, Deadline deadline) {
        return await(command, send(command, arguments), deadline);
    }

    /** The answer's {@code return}; fails with {@link VmmFailed}. */
    CompletableFuture<JsonNode> send(String command, ObjectNode arguments) {
        CompletableFuture<JsonNode> answer = new CompletableFuture<>();
        ObjectNode request = arguments().put("execute", command);
        if (!arguments.isEmpty()) {
            request.set("arguments", arguments);
        }
        IOException broken = null;
        synchronized (this) {
            if (ended != null) {
                return CompletableFuture.failedFuture(ended);
            }
            long id = ++lastId;
            request.put("id", id);
            pending.put(id, answer);
            try {
                // A few hundred bytes, which a living QEMU's socket always has room for.
                ByteBuffer line = ByteBuffer.wrap((request + "\n").getBytes(StandardCharsets.UTF_8));
                while (line.hasRemaining()) {
                    channel.write(line);
                }
            } catch (IOException e) {
                broken = e;
            }
        }
        if (broken != null) {
            // Part of a line may have been sent; and an interrupt closes the channel for everybody.
            end("connection broke: " + broken);
        }
        return answer;
    }

    /** Completed with the data of the first such event from now on: ask before the command that causes it. */
    synchronized CompletableFuture<JsonNode> event(String name, Predicate<JsonNode> wanted) {
        if (ended != null) {
            return CompletableFuture.failedFuture(ended);
        }
        AwaitedEvent awaited = new AwaitedEvent(name, wanted, new CompletableFuture<>());
        awaitedEvents.add(awaited);
        return awaited.seen;
    }

    /** Waits; the failure is rethrown with what was being done. */
    <T> T await(String what, CompletableFuture<T> future, Deadline deadline) {
        try {
            return future.get(deadline.remaining().toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            throw new DeadlineExceeded(subject + ": " + what);
        } catch (ExecutionException e) {
            throw new VmmFailed(subject + ": " + what + " failed: " + message(e.getCause()), e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new VmmFailed(subject + ": " + what + " interrupted", e);
        }
    }

    synchronized boolean open() {
        return ended == null;
    }

    @Override
    public void close() {
        end("connection closed");
    }

    private void readLines() {
        ByteBuffer buffer = ByteBuffer.allocate(16 << 10);
        try {
            while (true) {
                int lineEnd = indexOfNewline(buffer);
                if (lineEnd >= 0) {
                    dispatch(takeLine(buffer, lineEnd));
                    continue;
                }
                buffer = withRoom(buffer);
                if (channel.read(buffer) < 0) {
                    end("connection ended");
                    return;
                }
            }
        } catch (IOException | JacksonException e) {
            end("connection ended: " + e.getMessage());
        }
    }

    private static int indexOfNewline(ByteBuffer buffer) {
        for (int i = 0; i < buffer.position(); i++) {
            if (buffer.get(i) == '\n') {
                return i;
            }
        }
        return -1;
    }

    private static String takeLine(ByteBuffer buffer, int lineEnd) {
        byte[] line = new byte[lineEnd];
        buffer.get(0, line);
        buffer.flip().position(lineEnd + 1);
        buffer.compact();
        return new String(line, StandardCharsets.UTF_8);
    }

    private static ByteBuffer withRoom(ByteBuffer buffer) throws IOException {
        if (buffer.hasRemaining()) {
            return buffer;
        }
        if (buffer.capacity() >= LINE_BYTES_MAX) {
            throw new IOException("a line of more than " + LINE_BYTES_MAX + " bytes");
        }
        return ByteBuffer.allocate(buffer.capacity() * 2).put(buffer.flip());
    }

    private void dispatch(String line) {
        JsonNode message = JSON.readTree(line);
        if (message.has("event")) {
            takeAwaited(message).forEach(event -> event.seen.complete(message.path("data")));
            return;
        }
        CompletableFuture<JsonNode> answer;
        synchronized (this) {
            answer = pending.remove(message.path("id").asLong(0));
        }
        if (answer == null) {
            return; // the greeting
        }
        if (message.has("error")) {
            answer.completeExceptionally(
                    new VmmFailed(message.path("error").path("desc").asString("no reason given")));
        } else {
            answer.complete(message.path("return"));
        }
    }

    private synchronized List<AwaitedEvent> takeAwaited(JsonNode message) {
        List<AwaitedEvent> taken =
                awaitedEvents.stream().filter(event -> event.matches(message)).toList();
        awaitedEvents.removeAll(taken);
        return taken;
    }

    private void end(String why) {
        List<CompletableFuture<JsonNode>> unanswered;
        synchronized (this) {
            if (ended != null) {
                return;
            }
            ended = new VmmFailed(why);
            unanswered = new ArrayList<>(pending.values());
            awaitedEvents.forEach(event -> unanswered.add(event.seen));
            pending.clear();
            awaitedEvents.clear();
        }
        try {
            channel.close();
        } catch (IOException ignored) {
            // Nothing more is read or written.
        }
        if (!unanswered.isEmpty()) {
            VmmFailed failure = new VmmFailed(why + "; " + lastWords.get());
            unanswered.forEach(future -> future.completeExceptionally(failure));
        }
    }

    private static String message(@Nullable Throwable cause) {
        return cause == null ? "unknown" : String.valueOf(cause.getMessage());
    }
}
