package dev.sandglass.cli;

import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.ExecSession;
import dev.sandglass.cli.client.Json;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import tools.jackson.databind.node.ObjectNode;

/** Runs a command to its end and prints one JSON object about it, with the fields of the API's exec answer. */
record JsonRun(Context context, Api api, Interrupts interrupts) {
    /** As much of each stream is kept as the API keeps. */
    private static final int KEEP = 8 << 20;

    int run(String sandboxId, ExecSession.Command command, boolean passStdin) {
        var out = new Kept();
        var err = new Kept();
        Context captured = new Context(
                context.environment(),
                context.root(),
                context.in(),
                new PrintStream(out, true, StandardCharsets.UTF_8),
                new PrintStream(err, true, StandardCharsets.UTF_8));
        long begin = System.nanoTime();
        int status = new ExecRunner(captured, api, interrupts).run(sandboxId, command, passStdin);
        boolean text = out.isText() && err.isText();
        ObjectNode json = Json.object()
                .put("sandbox_id", sandboxId)
                .put("exit_code", status)
                .put("stdout", out.encoded(text))
                .put("stderr", err.encoded(text))
                .put("encoding", text ? "utf-8" : "base64")
                .put("truncated", out.truncated || err.truncated)
                .put("duration_ms", (System.nanoTime() - begin) / 1_000_000);
        context.out().println(Json.writeIndented(json));
        return status;
    }

    private static final class Kept extends OutputStream {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        private boolean truncated;

        @Override
        public void write(int b) throws IOException {
            write(new byte[] {(byte) b}, 0, 1);
        }

        @Override
        public void write(byte[] more, int offset, int length) throws IOException {
            int room = Math.min(length, KEEP - bytes.size());
            truncated |= room < length;
            bytes.write(more, offset, room);
        }

        boolean isText() {
            try {
                StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes.toByteArray()));
                return true;
            } catch (CharacterCodingException e) {
                return false;
            }
        }

        String encoded(boolean text) {
            return text
                    ? bytes.toString(StandardCharsets.UTF_8)
                    : Base64.getEncoder().encodeToString(bytes.toByteArray());
        }
    }
}
