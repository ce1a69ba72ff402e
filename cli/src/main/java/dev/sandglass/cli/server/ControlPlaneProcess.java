package dev.sandglass.cli.server;

import dev.sandglass.cli.server.Home.Role;
import dev.sandglass.cli.server.Home.Running;
import dev.sandglass.contract.Progress;
import dev.sandglass.control.ControlPlane;
import java.io.IOException;
import java.net.URI;
import java.util.Optional;

/** A control plane alone in this process, logging to stderr as services do. */
public final class ControlPlaneProcess implements AutoCloseable {
    private final Home.Lock lock;
    private final ControlPlane controlPlane;

    private ControlPlaneProcess(Home.Lock lock, ControlPlane controlPlane) {
        this.lock = lock;
        this.controlPlane = controlPlane;
    }

    public static ControlPlaneProcess start(Settings settings) throws IOException {
        Home home = settings.home();
        home.create();
        Home.Lock lock = LocalServer.requireLock(home, Role.CONTROL_PLANE);
        ServerLog.toStderr(ServerSettings.log(settings));
        try {
            ControlPlane started =
                    ControlPlane.start(ServerSettings.read(settings).control(), Optional.empty(), Progress.SILENT);
            var process = new ControlPlaneProcess(lock, started);
            LocalServer.ensureAccess(home, started);
            home.writeRunning(
                    Role.CONTROL_PLANE, new Running(ProcessHandle.current().pid(), started.url()));
            return process;
        } catch (IOException | RuntimeException e) {
            lock.close();
            throw e;
        }
    }

    public URI url() {
        return controlPlane.url();
    }

    /** Where agents register. */
    public Optional<String> registry() {
        return controlPlane.registryAddress().map(address -> address.getHostString() + ":" + address.getPort());
    }

    @Override
    public void close() {
        try (lock) {
            controlPlane.close();
        }
    }
}
