package dev.sandglass.host.guest;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The real guest agent as an ordinary process on loopback. It ends with its standard input, at the latest with us. */
final class AgentProcess implements AutoCloseable {
    private static final Path SOURCES = Path.of("..", "guest-agent");
    private static final Path BINARY = SOURCES.resolve("build/sandglass-guest-agent");

    private final Process process;
    private final int port;

    private AgentProcess(Process process, int port) {
        this.process = process;
        this.port = port;
    }

    static AgentProcess start(Path directory, String... options) throws IOException, InterruptedException {
        make();
        Path portFile = Files.createTempFile(directory, "port", "");
        Files.delete(portFile);
        List<String> command = new ArrayList<>(List.of(
                BINARY.toString(),
                "--listen",
                "127.0.0.1:0",
                "--port-file",
                portFile.toString(),
                "--until-end-of-input"));
        command.addAll(Arrays.asList(options));
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        while (!Files.exists(portFile)) {
            if (!process.isAlive()) {
                throw new IOException("the agent ended with " + process.exitValue());
            }
            Thread.sleep(5);
        }
        return new AgentProcess(
                process, Integer.parseInt(Files.readString(portFile).strip()));
    }

    /** Does nothing when the program is up to date. */
    private static synchronized void make() throws IOException, InterruptedException {
        Process make = new ProcessBuilder("make", "-s", "-C", SOURCES.toString())
                .inheritIO()
                .start();
        if (make.waitFor() != 0) {
            throw new IOException("make in " + SOURCES + " failed");
        }
    }

    InetSocketAddress address() {
        return new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
    }

    long openDescriptors() {
        try (var list = Files.list(Path.of("/proc", Long.toString(process.pid()), "fd"))) {
            return list.count();
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    boolean isAlive() {
        return process.isAlive();
    }

    @Override
    public void close() {
        try {
            process.getOutputStream().close();
            if (!process.waitFor(5, TimeUnit.SECONDS)) {
                process.destroyForcibly().waitFor();
            }
        } catch (IOException | InterruptedException failure) {
            process.destroyForcibly();
        }
    }
}
