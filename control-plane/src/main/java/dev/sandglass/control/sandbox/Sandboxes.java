package dev.sandglass.control.sandbox;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.host.HostConnection;
import dev.sandglass.control.host.HostDirectory;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;

/** Sandboxes as the rest of the control plane works with them. Thread-safe; blocks until it is done. */
public final class Sandboxes {
    private final PostgresSandboxStore store;
    private final HostDirectory hosts;
    private final Machines machines;
    private final Operations operations;
    private final Activity activity;

    Sandboxes(
            PostgresSandboxStore store,
            HostDirectory hosts,
            Machines machines,
            Operations operations,
            Activity activity) {
        this.store = store;
        this.hosts = hosts;
        this.machines = machines;
        this.operations = operations;
        this.activity = activity;
    }

    /** A sandbox that could be worked with when its row was read; the calls go to its host. */
    public final class Running {
        private final Sandbox row;
        private final HostConnection host;

        private Running(Sandbox row) {
            this.row = row;
            this.host = hosts.require(row.hostId());
        }

        public SandboxId id() {
            return row.id();
        }

        /** A call that must be over within {@code limit}. */
        public <T> T call(Duration limit, HostConnection.Call<T> call) {
            try {
                return host.call(limit, call);
            } catch (PlatformException e) {
                throw failed(e);
            }
        }

        /** A stream without an end set beforehand: whoever opens it cancels it, and tells of failures in it. */
        public <T> T open(HostConnection.Call<T> call) {
            return host.open(call);
        }

        /**
         * Its host refused work in it. If the host has paused it meanwhile, or its machine has ended, the row says so from
         * now on, and so does the failure that this returns.
         */
        public PlatformException failed(PlatformException failure) {
            if (!Operations.isOfState(failure)) {
                return failure;
            }
            operations.refused(row.team(), row.id());
            return store.find(row.team(), row.id())
                    .filter(now -> now.shownStatus() != SandboxStatus.RUNNING)
                    .map(now -> Operations.wrongState(now, "a running one"))
                    .orElse(failure);
        }
    }

    /** Another team's is as unknown as one that never was. */
    public Sandbox require(TeamId team, String id) {
        return store.find(team, idOf(id)).orElseThrow(Sandboxes::unknown);
    }

    /** A sandbox that runs; using it counts as activity. */
    public Running requireRunning(TeamId team, String id) {
        Sandbox sandbox = require(team, id);
        if (sandbox.shownStatus() != SandboxStatus.RUNNING) {
            throw Operations.wrongState(sandbox, "a running one");
        }
        used(sandbox.id());
        return new Running(sandbox);
    }

    /** A sandbox that is running or paused. */
    public Sandbox requireWhole(TeamId team, String id) {
        Sandbox sandbox = require(team, id);
        return switch (sandbox.shownStatus()) {
            case RUNNING, PAUSED -> sandbox;
            case PENDING, PAUSING, RESUMING, STOPPED, ERROR ->
                throw Operations.wrongState(sandbox, "a running or paused one");
        };
    }

    /** Work in it has begun, goes on or has ended. */
    public void used(SandboxId id) {
        activity.of(id);
    }

    /** Its host refused work on it: the row says what its host does when this returns. */
    public void refused(Sandbox sandbox) {
        operations.refused(sandbox.team(), sandbox.id());
    }

    /** As {@link Operations#whilePausing}. */
    public <T> T whilePausing(Sandbox running, Supplier<T> work) {
        return operations.whilePausing(running, work);
    }

    static SandboxId idOf(String text) {
        return Optional.of(text)
                .filter(id -> Ids.isValid(SandboxId.PREFIX, id))
                .map(SandboxId::new)
                .orElseThrow(Sandboxes::unknown);
    }

    static PlatformException unknown() {
        return new PlatformException(ErrorCode.NOT_FOUND, "There is no such sandbox.");
    }

    void ping(TeamId team, String id) {
        Running running = requireRunning(team, id);
        try {
            machines.ping(running.row);
        } catch (PlatformException e) {
            throw running.failed(e);
        }
        store.touched(Set.of(running.id()));
    }
}
