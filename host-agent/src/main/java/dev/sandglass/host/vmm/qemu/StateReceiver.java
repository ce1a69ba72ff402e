package dev.sandglass.host.vmm.qemu;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.concurrent.CompletableFuture;

/** Takes one stream from QEMU over a Unix socket, to its end. Closing it ends the wait and removes the socket. */
final class StateReceiver implements AutoCloseable {
    /** Far more than any device state; guest memory would be more than that. */
    static final int BYTES_MAX = 32 << 20;

    private final Path socket;
    private final ServerSocketChannel server;
    private final CompletableFuture<byte[]> received = new CompletableFuture<>();

    private StateReceiver(Path socket, ServerSocketChannel server) {
        this.socket = socket;
        this.server = server;
    }

    static StateReceiver listen(Path socket) throws IOException {
        Files.deleteIfExists(socket);
        ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        StateReceiver receiver = new StateReceiver(socket, server);
        try {
            server.bind(UnixDomainSocketAddress.of(socket));
            Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rw-rw-rw-"));
        } catch (IOException e) {
            receiver.close();
            throw e;
        }
        Thread.ofVirtual().name("state-receiver").start(receiver::receive);
        return receiver;
    }

    CompletableFuture<byte[]> received() {
        return received;
    }

    private void receive() {
        try (SocketChannel channel = server.accept()) {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            ByteBuffer buffer = ByteBuffer.allocate(64 << 10);
            while (channel.read(buffer.clear()) >= 0) {
                bytes.write(buffer.array(), 0, buffer.position());
                if (bytes.size() > BYTES_MAX) {
                    throw new IOException("the device state is larger than " + BYTES_MAX + " bytes");
                }
            }
            received.complete(bytes.toByteArray());
        } catch (IOException e) {
            received.completeExceptionally(e);
        }
    }

    @Override
    public void close() throws IOException {
        server.close();
        Files.deleteIfExists(socket);
    }
}
