package dev.sandglass.host.network;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.DeadlineExceeded;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The slots of one installation. A few are made ahead; a released one is torn down and its index rests for a while,
 * both by one background thread.
 *
 * <pre>
 * (free) ─claim─▶ making ─▶ ready ─acquire─▶ taken ─release─▶ retired ─▶ resting ─pause─▶ (free)
 * </pre>
 *
 * Thread-safe. Closed by who opened it, after which the slots that are taken stay as they are, policy included.
 */
public final class Networks implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Networks.class);

    /** Until packets that were under way to the last guest of an address have gone. */
    private static final Duration REST = Duration.ofSeconds(3);

    /** After a failure of the background thread; whoever needs a slot meanwhile makes it itself and sees why not. */
    private static final Duration RETRY = Duration.ofSeconds(5);

    /** More at once only queue for the kernel's one lock on interfaces. */
    private static final int MAKERS_MAX = 4;

    private record Resting(int index, Deadline until) {}

    private final NetworkConfiguration configuration;
    private final SlotLayout layout;
    private final SlotKernel kernel;
    private final SlotRegistry registry;
    private final Semaphore makers = new Semaphore(MAKERS_MAX);
    private final Thread background;

    @GuardedBy("this")
    private final Deque<Slot> ready = new ArrayDeque<>();

    @GuardedBy("this")
    private final Map<Integer, Slot> taken = new HashMap<>();

    @GuardedBy("this")
    private final Set<Integer> making = new HashSet<>();

    @GuardedBy("this")
    private final Deque<Slot> retired = new ArrayDeque<>();

    @GuardedBy("this")
    private final Deque<Resting> resting = new ArrayDeque<>();

    /** Where the search for a free index begins: behind the last one, so that indexes rest as long as they can. */
    @GuardedBy("this")
    private int nextIndex;

    @GuardedBy("this")
    private boolean closed;

    private Networks(NetworkConfiguration configuration) {
        this.configuration = configuration;
        this.layout = new SlotLayout(configuration);
        this.kernel = new SlotKernel(layout);
        this.registry = new SlotRegistry(configuration);
        this.background = Thread.ofPlatform().daemon().name("network-pool").unstarted(this::work);
    }

    /** Sets this installation's policy and begins to fill the pool. */
    public static Networks open(NetworkConfiguration configuration) {
        Networks networks = new Networks(configuration);
        SlotKernel.ensureForwarding();
        new HostRules(configuration).apply();
        networks.background.start();
        return networks;
    }

    /**
     * Chains of other firewalls that drop what is forwarded unless told otherwise: guests reach nothing until our
     * interfaces, {@code s<installation>-*}, are allowed there. For doctor.
     */
    public static List<String> forwardingObstacles() {
        return HostRules.obstacles();
    }

    /**
     * At start: takes over the slots of the sandboxes that live, by index, and removes all others that an earlier
     * agent of this installation left, made or half made. Clears up after installations whose home is gone, too.
     */
    public void reclaim(Set<Integer> living) {
        adopt(living);
        // Named but not claimed, which only a stranger's hand can bring about: claimed, so that it stays ours to
        // remove.
        for (String name : SlotKernel.named(layout.prefix())) {
            layout.index(name).ifPresent(registry::claim);
        }
        remove(leftovers());
        try {
            registry.exclusively(this::removeAbandoned);
        } catch (RuntimeException e) {
            // Others' leftovers: a nuisance, no reason not to start.
            LOG.warn("network: what installations without a home left could not be removed", e);
        }
    }

    /** A slot that nobody else has; usually one from the pool, at once. */
    public Slot acquire(Deadline deadline) {
        synchronized (this) {
            requireOpen();
            Slot slot = ready.pollFirst();
            if (slot != null) {
                taken.put(slot.index(), slot);
                notifyAll();
                return slot;
            }
        }
        Slot made = make(deadline);
        synchronized (this) {
            if (!closed) {
                making.remove(made.index());
                taken.put(made.index(), made);
                return made;
            }
        }
        remove(Set.of(made.index()));
        synchronized (this) {
            making.remove(made.index());
        }
        removeRulesIfUnused();
        throw new IllegalStateException("the networks were closed");
    }

    /** A slot that {@link #reclaim} has taken over. */
    public synchronized Slot taken(int index) {
        return Objects.requireNonNull(taken.get(index), () -> "slot " + index + " is not taken");
    }

    /** The guest is gone: its slot is torn down, in the background as long as this is open. Idempotent. */
    public void release(Slot slot) {
        synchronized (this) {
            if (!taken.remove(slot.index(), slot)) {
                return;
            }
            if (!closed) {
                retired.addLast(slot);
                notifyAll();
                return;
            }
        }
        remove(Set.of(slot.index()));
        removeRulesIfUnused();
    }

    /** Waits for a slot that is being made, then removes all that are not taken; without any, the policy too. */
    @Override
    public void close() {
        synchronized (this) {
            if (closed) {
                return;
            }
            closed = true;
            notifyAll();
        }
        try {
            background.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        Set<Integer> idle = new TreeSet<>();
        synchronized (this) {
            ready.forEach(slot -> idle.add(slot.index()));
            retired.forEach(slot -> idle.add(slot.index()));
            resting.forEach(rest -> idle.add(rest.index()));
            ready.clear();
            retired.clear();
            resting.clear();
        }
        remove(idle);
        removeRulesIfUnused();
    }

    private void removeRulesIfUnused() {
        synchronized (this) {
            if (!taken.isEmpty() || !making.isEmpty()) {
                return;
            }
        }
        HostRules.remove(configuration.shortInstallation());
    }

    private void adopt(Set<Integer> living) {
        for (int index : living) {
            Slot slot = layout.slot(index);
            if (!registry.claim(index)
                    && Optional.ofNullable(registry.claims().get(index))
                            .filter(claim -> claim.installation().equals(configuration.installation()))
                            .isEmpty()) {
                throw new IllegalStateException("slot " + index + " of a living sandbox is claimed by another");
            }
            synchronized (this) {
                taken.put(index, slot);
            }
        }
    }

    /** Under the lock, a claim of ours is either in use or was left by an earlier agent. */
    private synchronized Set<Integer> leftovers() {
        Set<Integer> leftovers = new TreeSet<>();
        registry.claims().forEach((index, claim) -> {
            if (claim.installation().equals(configuration.installation())) {
                leftovers.add(index);
            }
        });
        leftovers.removeAll(taken.keySet());
        leftovers.removeAll(making);
        ready.forEach(slot -> leftovers.remove(slot.index()));
        retired.forEach(slot -> leftovers.remove(slot.index()));
        resting.forEach(rest -> leftovers.remove(rest.index()));
        return leftovers;
    }

    private void removeAbandoned() {
        Map<String, Set<Integer>> abandoned = new HashMap<>();
        Set<String> alive = new HashSet<>();
        registry.claims().forEach((index, claim) -> {
            if (!claim.abandoned(registry.mine())) {
                alive.add(claim.installation());
            } else if (SlotOwners.runsSomething(configuration.uidBase() + index)) {
                LOG.warn("slot {} of {}, whose home is gone, still runs something", index, claim.installation());
                alive.add(claim.installation());
            } else {
                abandoned
                        .computeIfAbsent(claim.installation(), _ -> new TreeSet<>())
                        .add(index);
            }
        });
        abandoned.forEach((installation, indexes) -> {
            String shortened = installation.substring(0, 8);
            String prefix = SlotLayout.prefix(shortened);
            SlotKernel.remove(indexes.stream().map(index -> prefix + index).toList());
            if (!alive.contains(installation)) {
                SlotKernel.remove(SlotKernel.named(prefix));
                HostRules.remove(shortened);
            }
            indexes.forEach(index -> registry.release(index, installation));
            LOG.info("removed slots {} of {}, whose home is gone", indexes, installation);
        });
    }

    /** All of our kernel objects of these indexes, then the claims. */
    private void remove(Set<Integer> indexes) {
        SlotKernel.remove(indexes.stream().map(index -> layout.prefix() + index).toList());
        indexes.forEach(registry::release);
    }

    /** The index stays in {@code making} until the caller has put the slot where it belongs. */
    private Slot make(Deadline deadline) {
        admit(deadline);
        try {
            Slot slot = claim();
            try {
                kernel.create(slot);
                return slot;
            } catch (RuntimeException e) {
                giveUp(slot, e);
                throw e;
            }
        } finally {
            makers.release();
        }
    }

    private void giveUp(Slot slot, RuntimeException cause) {
        try {
            remove(Set.of(slot.index()));
        } catch (RuntimeException e) {
            // The claim stays, so nobody trips over what is left; reclaim tries again.
            cause.addSuppressed(e);
        }
        synchronized (this) {
            making.remove(slot.index());
        }
    }

    private void admit(Deadline deadline) {
        try {
            if (!makers.tryAcquire(deadline.remaining().toNanos(), TimeUnit.NANOSECONDS)) {
                throw new DeadlineExceeded("make a network slot");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new DeadlineExceeded("interrupted while waiting to make a network slot");
        }
    }

    private synchronized Slot claim() {
        Set<Integer> known = registry.claims().keySet();
        int slots = configuration.slots();
        for (int i = 0; i < slots; i++) {
            int index = (nextIndex + i) % slots;
            if (!known.contains(index) && registry.claim(index)) {
                nextIndex = (index + 1) % slots;
                making.add(index);
                return layout.slot(index);
            }
        }
        throw new PlatformException(
                ErrorCode.NO_CAPACITY,
                "All " + slots + " network slots of this machine are in use. Remove sandboxes that are not needed"
                        + " any more, or configure larger address ranges.");
    }

    private void work() {
        try {
            boolean open = true;
            while (open) {
                open = stepOrPause();
            }
        } catch (InterruptedException e) {
            LOG.warn("network pool: interrupted; slots are made on demand from now on");
        }
    }

    private boolean stepOrPause() throws InterruptedException {
        try {
            return step();
        } catch (RuntimeException e) {
            LOG.warn("network pool: {}; next try in {} s", e.getMessage(), RETRY.toSeconds(), e);
            return pause();
        }
    }

    /** One thing that is to be done, or a wait for one; false when closed. */
    private boolean step() throws InterruptedException {
        Optional<Slot> old;
        OptionalInt rested;
        synchronized (this) {
            while (!closed && retired.isEmpty() && !isRested() && ready.size() >= configuration.poolSize()) {
                wait(resting.isEmpty() ? 0 : millis(resting.getFirst().until()));
            }
            if (closed) {
                return false;
            }
            old = Optional.ofNullable(retired.peekFirst());
            rested = isRested() ? OptionalInt.of(resting.getFirst().index()) : OptionalInt.empty();
        }
        if (old.isPresent()) {
            tearDown(old.get());
        } else if (rested.isPresent()) {
            synchronized (this) {
                registry.release(rested.getAsInt());
                resting.removeFirst();
            }
        } else {
            refill();
        }
        return true;
    }

    private void tearDown(Slot slot) {
        SlotKernel.remove(List.of(slot.namespace()));
        synchronized (this) {
            retired.removeFirst();
            resting.addLast(new Resting(slot.index(), Deadline.after(REST)));
        }
    }

    private void refill() {
        Slot slot = make(Deadline.after(RETRY));
        synchronized (this) {
            making.remove(slot.index());
            // Also when closed meanwhile: close waits for us and removes what is ready.
            ready.addLast(slot);
        }
    }

    @GuardedBy("this")
    private boolean isRested() {
        return !resting.isEmpty() && resting.getFirst().until().expired();
    }

    private synchronized boolean pause() throws InterruptedException {
        Deadline end = Deadline.after(RETRY);
        while (!closed && !end.expired()) {
            wait(millis(end));
        }
        return !closed;
    }

    /** Never 0, which would mean for ever. */
    private static long millis(Deadline deadline) {
        return deadline.remaining().toMillis() + 1;
    }

    @GuardedBy("this")
    private void requireOpen() {
        if (closed) {
            throw new IllegalStateException("the networks are closed");
        }
    }

    /** For tests and metrics. */
    synchronized List<Slot> pooled() {
        return new ArrayList<>(ready);
    }
}
