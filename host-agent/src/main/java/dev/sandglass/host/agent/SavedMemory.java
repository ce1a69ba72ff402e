package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.FileStatus;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.memory.Draft;
import dev.sandglass.host.memory.GenerationStore;
import dev.sandglass.host.memory.MemoryImage;
import dev.sandglass.host.memory.ProcessMemory;
import dev.sandglass.host.vmm.BlankMachine;
import dev.sandglass.host.vmm.BlockLayer;
import dev.sandglass.host.vmm.VirtualMachine;
import dev.sandglass.host.vmm.VmmIdentity;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.core.JacksonException;
import tools.jackson.core.type.TypeReference;
import tools.jackson.databind.json.JsonMapper;

/**
 * The memory of one sandbox or snapshot on disk: generations of its pages and, beside the newest, the device state that
 * goes with it and the identity of the VMM that both depend on. Thread-safe as its store is; one for each directory.
 */
final class SavedMemory {
    /** Compares, in every pause, what the generations hold with what the stopped process has: for tests. */
    static final String VERIFY_PROPERTY = "sandglass.verify-saved-memory";

    private static final Logger log = LoggerFactory.getLogger(SavedMemory.class);
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final String DIRECTORY = "memory";
    private static final String DEVICES = "devices";
    private static final String IDENTITY = "identity";
    /** Of the identity: the VMM's own properties have other names. Absent: 1, or not known. */
    private static final String GUEST_PROTOCOL = "guest_protocol";

    private final GenerationStore store;
    private final Mapped mapped;

    /**
     * What the memory of a VM is a private mapping of.
     *
     * @param fresh how it is known among the mappings of such a VM
     * @param of the same of any VM: one that an earlier agent made maps another copy
     */
    record Mapped(FileStatus fresh, Function<VirtualMachine, FileStatus> of) {}

    SavedMemory(GenerationStore store, Mapped mapped) {
        this.store = store;
        this.mapped = mapped;
    }

    /** In the folder of a sandbox or snapshot. */
    static Path directory(Path home) {
        return home.resolve(DIRECTORY);
    }

    /** As a store of its own in the folder of another sandbox or snapshot. */
    void linkTo(Path home) {
        store.linkTo(directory(home));
    }

    long generations() {
        return store.header().generation();
    }

    /** Merges the generations when there are many; for the background. */
    void mergeIfDue() {
        if (store.mergeDue()) {
            store.merge();
        }
    }

    // ---- Saving

    Draft begin() {
        return store.begin();
    }

    /**
     * Beside the pages of a VM whose vCPUs are stopped.
     *
     * @param guestProtocol what its guest is spoken with; 0: not known
     */
    static void saveDevices(
            Draft draft, VirtualMachine vm, VmmIdentity identity, int guestProtocol, Deadline deadline) {
        vm.saveDeviceState(draft.directory().resolve(DEVICES), deadline);
        SortedMap<String, String> properties = new TreeMap<>(identity.properties());
        if (guestProtocol > 0) {
            properties.put(GUEST_PROTOCOL, Integer.toString(guestProtocol));
        }
        try {
            Files.write(draft.directory().resolve(IDENTITY), JSON.writeValueAsBytes(properties));
        } catch (IOException e) {
            throw new UncheckedIOException("save the identity of the VMM", e);
        }
    }

    /** Of a VM whose vCPUs are stopped. */
    Draft.Saved savePages(Draft draft, VirtualMachine vm) {
        try (ProcessMemory memory = ProcessMemory.open(vm.identity(), mapped.of.apply(vm))) {
            return draft.save(memory);
        } catch (IOException e) {
            throw new UncheckedIOException("read the memory of the VM", e);
        }
    }

    /** After the commit, while the process still is as it was saved. */
    void verify(VirtualMachine vm) {
        if (!Boolean.getBoolean(VERIFY_PROPERTY)) {
            return;
        }
        try (ProcessMemory memory = ProcessMemory.open(vm.identity(), mapped.of.apply(vm));
                MemoryImage image = store.verifiedImage()) {
            OptionalLong difference = image.firstDifference(memory);
            if (difference.isPresent()) {
                throw new IllegalStateException("saved memory differs at offset " + difference.getAsLong());
            }
        } catch (IOException e) {
            throw new UncheckedIOException("compare saved memory", e);
        }
    }

    // ---- Restoring

    /**
     * Gives a blank, which maps what this memory began as, this memory and the state that goes with it.
     *
     * @throws PlatformException INTERNAL_ERROR that names what is damaged
     */
    VirtualMachine restore(BlankMachine blank, List<BlockLayer> ownDisk, Deadline deadline) {
        try (FileDescriptor devices = Linux.open(store.requireAttachment(DEVICES), Linux.O_RDONLY, 0);
                MemoryImage image = store.image()) {
            return blank.restore(
                    ownDisk,
                    devices,
                    process -> {
                        try (ProcessMemory memory = ProcessMemory.open(process, mapped.fresh)) {
                            long bytes = image.restore(memory);
                            log.debug("pid={} memory_bytes={}", process.pid(), bytes);
                        } catch (IOException e) {
                            throw new UncheckedIOException("write the memory of the VM", e);
                        }
                    },
                    deadline);
        }
    }

    /** @throws PlatformException INCOMPATIBLE_SNAPSHOT that names what differs */
    void requireCompatible(VmmIdentity current) {
        SortedMap<String, String> saved = savedBy();
        requireSpoken(saved.remove(GUEST_PROTOCOL));
        List<String> differences = new VmmIdentity(saved).differences(current);
        if (!differences.isEmpty()) {
            throw new PlatformException(
                    ErrorCode.INCOMPATIBLE_SNAPSHOT,
                    "The memory was saved by a virtual machine monitor that this host does not have any more: "
                            + String.join("; ", differences)
                            + ". Nothing was changed. Resume it cold to give the memory up and boot from its disk.");
        }
    }

    /**
     * Before its memory is given up: the same agent would come up from the disk's template. What is damaged is not an answer.
     *
     * @throws PlatformException INCOMPATIBLE_SNAPSHOT
     */
    void requireGuest() {
        SortedMap<String, String> saved;
        try {
            saved = savedBy();
        } catch (PlatformException damaged) {
            log.warn("memory is given up without knowing what is in it: {}", damaged.getMessage());
            return;
        }
        requireSpoken(saved.get(GUEST_PROTOCOL));
    }

    private static void requireSpoken(@Nullable String protocol) {
        if (protocol != null && !GuestClient.speaks(Integer.parseInt(protocol))) {
            throw new PlatformException(
                    ErrorCode.INCOMPATIBLE_SNAPSHOT,
                    "The agent in this sandbox is of a later version of Sandglass: guest_protocol: " + protocol
                            + " is not known here. Nothing was changed. Go on with that version.");
        }
    }

    private SortedMap<String, String> savedBy() {
        try {
            byte[] json = Files.readAllBytes(store.requireAttachment(IDENTITY));
            return JSON.readValue(json, new TypeReference<TreeMap<String, String>>() {});
        } catch (IOException | JacksonException e) {
            throw new PlatformException(
                    ErrorCode.INTERNAL_ERROR, "The identity that belongs to the saved memory cannot be read.", e);
        }
    }
}
