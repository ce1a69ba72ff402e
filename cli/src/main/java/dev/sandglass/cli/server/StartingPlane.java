package dev.sandglass.cli.server;

import dev.sandglass.contract.Progress;
import dev.sandglass.control.ControlPlane;
import dev.sandglass.control.ControlPlaneConfiguration;
import dev.sandglass.control.EmbeddedAgent;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/**
 * A control plane that starts on a thread of its own, database first, while the caller starts the host agent it needs in
 * the end: either takes about a second. Ended by exactly one of {@link #finish} and {@link #giveUp}.
 */
final class StartingPlane {
    private final CompletableFuture<EmbeddedAgent> agent = new CompletableFuture<>();
    private final CompletableFuture<ControlPlane> started = new CompletableFuture<>();

    private StartingPlane() {}

    static StartingPlane start(ControlPlaneConfiguration configuration) {
        StartingPlane starting = new StartingPlane();
        Thread.ofPlatform().daemon().name("start-control-plane").start(() -> starting.run(configuration));
        return starting;
    }

    private void run(ControlPlaneConfiguration configuration) {
        try {
            started.complete(ControlPlane.startBeside(configuration, Optional.of(agent::join), Progress.SILENT));
        } catch (RuntimeException | Error e) {
            started.completeExceptionally(e);
        }
    }

    /** Waits until it serves. Throws what kept it from that. */
    ControlPlane finish(EmbeddedAgent serving) {
        agent.complete(serving);
        try {
            return started.join();
        } catch (CompletionException e) {
            throw e.getCause() instanceof RuntimeException failure ? failure : e;
        }
    }

    /** There will be no agent. Returns when everything that had started has been closed. */
    void giveUp(Exception why) {
        agent.completeExceptionally(why);
        try {
            started.join().close();
        } catch (RuntimeException e) {
            if (!why.equals(e.getCause())) {
                why.addSuppressed(e);
            }
        }
    }
}
