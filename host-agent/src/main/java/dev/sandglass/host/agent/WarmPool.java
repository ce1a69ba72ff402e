package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.ExecId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.guest.v1.StartExec;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.image.Shape;
import dev.sandglass.host.linux.Deadline;
import java.util.List;
import java.util.Optional;

/**
 * Clones that are restored, warmed and stopped, ready to be continued: what a create would wait for has been done.
 * Thread-safe.
 */
final class WarmPool implements AutoCloseable {
    private static final int KEPT_BYTES = 4096;

    /**
     * Run in each clone, so that the emulator has translated what the first execs of its owner need, and the guest has
     * touched the pages that it would touch then.
     */
    private static final String WARM_NAME = "warm";

    private static final List<List<String>> WARM_UP = List.of(
            List.of("/bin/sh", "-c", "echo warm"),
            List.of("/usr/bin/python3", "-c", "print('warm')"),
            List.of("/bin/echo", "warm"));

    private final Parts parts;
    private final Blanks blanks;
    private final Stock<Shape, Clones.Clone> stock;

    /** @param high clones kept of a hot shape; 0: none of any */
    WarmPool(Clones clones, Parts parts, Blanks blanks, int high, Stock.Times times) {
        this.parts = parts;
        this.blanks = blanks;
        this.stock = new Stock<>("pool", new Source(clones, parts), high, times);
    }

    /** Keeps clones of this shape from now on. */
    void keep(Shape shape) {
        stock.keep(shape);
    }

    /** One that is ready, which is the caller's from now on. */
    Optional<Clones.Clone> take(Shape shape) {
        return stock.take(shape);
    }

    /** Gives up clones of a template or snapshot that is gone. */
    void drop(String templateId) {
        stock.drop(shape -> shape.templateId().equals(templateId));
    }

    private void shrink() {
        stock.shrink();
        blanks.shrink();
    }

    /** As {@link Admission#admit}; what is only kept ready makes room for what somebody waits for. */
    Admission.Promise admit(int memoryMb) {
        try {
            return parts.admission().admit(memoryMb);
        } catch (PlatformException full) {
            if (full.code() != ErrorCode.NO_CAPACITY) {
                throw full;
            }
            shrink();
            return parts.admission().admit(memoryMb);
        }
    }

    private record Source(Clones clones, Parts parts) implements Stock.Source<Shape, Clones.Clone> {
        @Override
        public Clones.Clone make(Shape shape) {
            Deadline deadline = Deadline.after(Stock.FILL_TIMEOUT);
            Clones.Clone clone;
            try (Clones.Source source = clones.open(shape)) {
                clone = source.make(true, deadline);
            }
            try {
                parts.steps().run(Step.MACHINE_WARM, clone.machine().name(), () -> warm(clone, deadline));
                return clone;
            } catch (RuntimeException failure) {
                clones.discard(clone);
                throw failure;
            }
        }

        private void warm(Clones.Clone clone, Deadline deadline) {
            LiveMachine machine = clone.machine();
            machine.vm().continueVcpus(deadline);
            GuestClient guest = machine.guest();
            // With a name, since setting one is part of what is to be warm: 2.5 instead of 12 ms of processor time
            // later.
            parts.renew(machine, Secrets.guestToken(), WARM_NAME, false, deadline);
            // What a snapshot holds must not run before it is somebody's, and then nothing else can.
            for (List<String> command : clone.snapshot() ? List.<List<String>>of() : WARM_UP) {
                guest.exec(
                        StartExec.newBuilder()
                                .setExecId(ExecId.random().value())
                                .addAllArgv(command)
                                .setUnlisted(true)
                                .build(),
                        new byte[0],
                        KEPT_BYTES,
                        deadline);
            }
            machine.vm().stopVcpus(deadline);
        }

        @Override
        public boolean alive(Clones.Clone clone) {
            return !clone.machine().vm().exit().isDone();
        }

        @Override
        public void discard(Clones.Clone clone) {
            clones.discard(clone);
        }
    }

    /** Ends all of its clones; waits for the one in the making. */
    @Override
    public void close() {
        stock.close();
    }
}
