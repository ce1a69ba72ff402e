package dev.sandglass.host.agent;

import com.google.protobuf.ByteString;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.host.v1.FileInfo;
import dev.sandglass.contract.host.v1.ReadFileRequest;
import dev.sandglass.contract.host.v1.ReadFileResponse;
import dev.sandglass.host.guest.FileRead;
import io.grpc.stub.ServerCallStreamObserver;
import java.io.IOException;
import java.time.Instant;
import java.util.Locale;

/** One download: the file's information, then its content, no faster than the caller reads. */
final class ReadFileCall {
    private static final int CHUNK_BYTES = 64 << 10;

    private ReadFileCall() {}

    static void run(
            Sandboxes sandboxes, ReadFileRequest request, ServerCallStreamObserver<ReadFileResponse> responses) {
        FlowControlledSender<ReadFileResponse> sender = new FlowControlledSender<>(responses, () -> {});
        // The service method has to return before gRPC tells readiness, since both come by the same queue.
        Thread.ofVirtual().name("read-file").start(() -> {
            try {
                send(sandboxes.require(new SandboxId(request.getSandboxId())), request, sender);
                sender.complete();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            } catch (IOException | RuntimeException failure) {
                sender.fail("read file", failure);
            }
        });
    }

    private static void send(Sandbox sandbox, ReadFileRequest request, FlowControlledSender<ReadFileResponse> sender)
            throws IOException, InterruptedException {
        try (Sandbox.Use use = sandbox.use();
                FileRead file = use.guest().readFile(request.getPath(), request.getOffset(), request.getLength())) {
            sender.send(ReadFileResponse.newBuilder().setInfo(info(file.info())).build());
            byte[] buffer = new byte[CHUNK_BYTES];
            for (int count; (count = file.content().read(buffer)) >= 0; ) {
                sandbox.touch();
                sender.send(ReadFileResponse.newBuilder()
                        .setData(ByteString.copyFrom(buffer, 0, count))
                        .build());
            }
        }
    }

    static FileInfo info(dev.sandglass.contract.guest.v1.FileInfo file) {
        return FileInfo.newBuilder()
                .setName(file.getName())
                .setType(
                        switch (file.getType()) {
                            case FILE, DIRECTORY, SYMLINK, OTHER ->
                                file.getType().name().toLowerCase(Locale.ROOT);
                            case TYPE_UNSPECIFIED, UNRECOGNIZED -> "other";
                        })
                .setSize(file.getSize())
                .setMode(file.getMode())
                .setOwner(file.getOwner())
                .setGroup(file.getGroup())
                .setModifiedAt(HostAgentGrpc.timestamp(Instant.ofEpochSecond(
                        Math.floorDiv(file.getModifiedUnixNanos(), 1_000_000_000L),
                        Math.floorMod(file.getModifiedUnixNanos(), 1_000_000_000L))))
                .setSymlinkTarget(file.getSymlinkTarget())
                .build();
    }
}
