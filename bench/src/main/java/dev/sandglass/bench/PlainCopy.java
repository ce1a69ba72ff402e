package dev.sandglass.bench;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Objects;

/** Copies files over TCP to and from a small program in a sandbox, with nothing of ours in between. */
final class PlainCopy {
    private static final int PORT = 7000;
    private static final int BLOCK_BYTES = 256 << 10;
    private static final Duration TIMEOUT = Duration.ofMinutes(1);
    private static final String START = "python3 -c \"$0\" </dev/null >/tmp/copier.log 2>&1 &"
            + " until grep -q ':1B58 .* 0A ' /proc/net/tcp; do sleep 0.05; done"; // it listens on 7000

    private final InetSocketAddress address;

    private PlainCopy(InetSocketAddress address) {
        this.address = address;
    }

    static PlainCopy startIn(Rest rest, String id) {
        rest.exec(id, "/bin/sh", "-c", START, program());
        return new PlainCopy(new InetSocketAddress(rest.hostAddress(id), PORT));
    }

    /** {@code blocks} times the block; returns when it is on the sandbox's disk. */
    void put(String path, byte[] block, int blocks) {
        try (Socket socket = open("put " + path + " " + (long) block.length * blocks)) {
            OutputStream out = socket.getOutputStream();
            for (int i = 0; i < blocks; i++) {
                out.write(block);
            }
            if (socket.getInputStream().readNBytes(4).length != 4) {
                throw new BenchFailure("The plain copy into the sandbox broke off.");
            }
        } catch (IOException e) {
            throw new BenchFailure("The plain copy into the sandbox failed: " + e);
        }
    }

    /** Returns how many bytes it had. */
    long get(String path) {
        try (Socket socket = open("get " + path)) {
            InputStream in = socket.getInputStream();
            byte[] block = new byte[BLOCK_BYTES];
            long bytes = 0;
            for (int n = in.read(block); n >= 0; n = in.read(block)) {
                bytes += n;
            }
            return bytes;
        } catch (IOException e) {
            throw new BenchFailure("The plain copy out of the sandbox failed: " + e);
        }
    }

    private Socket open(String wanted) throws IOException {
        Socket socket = new Socket();
        socket.connect(address, Math.toIntExact(TIMEOUT.toMillis()));
        socket.setSoTimeout(Math.toIntExact(TIMEOUT.toMillis()));
        socket.getOutputStream().write((wanted + "\n").getBytes(StandardCharsets.US_ASCII));
        return socket;
    }

    private static String program() {
        try (InputStream file = Objects.requireNonNull(PlainCopy.class.getResourceAsStream("copier.py"))) {
            return new String(file.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
