package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.image.Template;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.vmm.StateForm;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Machines that map a template's memory and wait for a disk and a state: a resume, or a clone of a snapshot, takes one
 * instead of waiting for a process to start. Of each template that is resumed from time to time one is kept. Thread-safe.
 */
final class Blanks implements AutoCloseable {
    /** The next one is not made while the guest of the last one has its first commands to translate. */
    private static final Duration SETTLE = Duration.ofMillis(500);

    private final Parts parts;
    private final AtomicLong lastTake = new AtomicLong(System.nanoTime());
    private final Stock<String, Kept> stock;

    /** Its template stays open. */
    private record Kept(Machines.Blank blank, Templates.Lease lease) {}

    /** @param high kept of each template that is in use */
    Blanks(Parts parts, int high, Stock.Times times) {
        this.parts = parts;
        this.stock = new Stock<>(
                "blanks",
                new Source(parts),
                high,
                new Stock.Times(() -> times.quiet().getAsBoolean() && settled(), times.pressure()));
    }

    private boolean settled() {
        return System.nanoTime() - lastTake.get() > SETTLE.toNanos();
    }

    /** From now on, one of this template is kept. */
    void keep(Template template) {
        stock.keep(template.id());
    }

    /**
     * One that is the caller's, kept or made now.
     *
     * @param booted its memory began empty and not as the template's: made now
     * @param background of one that is made now, as of {@link Machines.Frame}
     */
    Machines.Blank take(Template template, boolean booted, boolean background, Deadline deadline) {
        if (booted) {
            return make(parts, template, parts.zeroMemory(), background, deadline);
        }
        lastTake.set(System.nanoTime());
        Optional<Kept> kept = stock.take(template.id());
        if (kept.isEmpty()) {
            return make(parts, template, template.memory(), background, deadline);
        }
        try (Templates.Lease _ = kept.get().lease()) {
            return kept.get().blank();
        }
    }

    private static Machines.Blank make(
            Parts parts, Template template, FileDescriptor memory, boolean background, Deadline deadline) {
        return parts.machines().prepare(Machines.Frame.of(template, background), memory, StateForm.DEVICES, deadline);
    }

    private record Source(Parts parts) implements Stock.Source<String, Kept> {
        @Override
        public Kept make(String templateId) {
            Templates.Lease lease = lease(templateId);
            try {
                Deadline deadline = Deadline.after(Stock.FILL_TIMEOUT);
                Template template = lease.template();
                return new Kept(Blanks.make(parts, template, template.memory(), true, deadline), lease);
            } catch (RuntimeException failure) {
                lease.close();
                throw failure;
            }
        }

        /** One that is missing or damaged will not come back: whoever resumes from it is told why. */
        private Templates.Lease lease(String templateId) {
            try {
                return parts.templates().lease(templateId);
            } catch (PlatformException gone) {
                throw new PlatformException(ErrorCode.NOT_FOUND, gone.reason(), gone);
            }
        }

        @Override
        public boolean alive(Kept kept) {
            return kept.blank().vm().alive();
        }

        @Override
        public void discard(Kept kept) {
            try (Templates.Lease _ = kept.lease()) {
                parts.machines().release(kept.blank());
            }
        }
    }

    /** Gives all up; they are made anew when there is room again. */
    void shrink() {
        stock.shrink();
    }

    @Override
    public void close() {
        stock.close();
    }
}
