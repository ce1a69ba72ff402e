package dev.sandglass.host.agent;

import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.lifecycle.Machine;
import dev.sandglass.host.lifecycle.SandboxState;
import dev.sandglass.host.linux.DurableFile;
import dev.sandglass.host.linux.Linux;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.DateTimeException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * What exists on this host, as one small durable file in each sandbox's folder: {@code sandboxes/<id>/ledger.json}. It
 * is written before the first kernel object of a sandbox is made, and whenever its state has changed. It holds the guest
 * agent's token, so only root may read it.
 *
 * <p>Thread-safe for different sandboxes; one sandbox is written by its owner only.
 */
final class Ledger {
    private static final Logger log = LoggerFactory.getLogger(Ledger.class);
    private static final int FORMAT = 2;
    private static final String FILE = "ledger.json";
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final Path sandboxes;

    Ledger(Path sandboxes) {
        this.sandboxes = sandboxes;
    }

    /**
     * Everything about a sandbox that outlives the agent.
     *
     * @param templateId what its creator asked for: "base" or a snapshot's id
     * @param template opaque id of the frozen template whose disk is below its own, and whose memory below its memory
     * @param booted its memory comes from a boot of its own instead: below it there are only zeroes
     * @param timeoutSec idle seconds until it is paused; 0: never
     * @param env default environment of its execs
     */
    record Entry(
            SandboxId id,
            String templateId,
            String template,
            boolean booted,
            int vcpus,
            int memoryMb,
            int timeoutSec,
            Map<String, String> env,
            Instant createdAt,
            SandboxState state) {
        Entry {
            env = Map.copyOf(env);
        }

        Entry with(SandboxState next) {
            if (!state.mayBecome(next)) {
                throw new IllegalStateException("sandbox " + id + " cannot go from " + state + " to " + next);
            }
            return new Entry(id, templateId, template, booted, vcpus, memoryMb, timeoutSec, env, createdAt, next);
        }

        Entry withTimeout(int seconds) {
            return new Entry(id, templateId, template, booted, vcpus, memoryMb, seconds, env, createdAt, state);
        }

        Entry clonedFrom(String frozenTemplate, boolean fromBooted) {
            return new Entry(
                    id, templateId, frozenTemplate, fromBooted, vcpus, memoryMb, timeoutSec, env, createdAt, state);
        }

        /** From now on its memory is that of a boot of its own. */
        Entry bootedAnew() {
            return new Entry(id, templateId, template, true, vcpus, memoryMb, timeoutSec, env, createdAt, state);
        }
    }

    /** What a folder's ledger says. */
    sealed interface Found {
        SandboxId id();

        record Known(SandboxId id, Entry entry) implements Found {}

        /** No ledger: a creation that had not begun, or a removal that had nearly ended. */
        record Missing(SandboxId id) implements Found {}

        /**
         * Another version of Sandglass wrote it: nothing is deleted.
         *
         * @param template what it depends on; empty: it does not say
         */
        record OtherFormat(SandboxId id, int format, String template) implements Found {
            boolean isLater() {
                return format > FORMAT;
            }

            /** For people. */
            String problem() {
                return "its record on the host is of version " + format + ", this Sandglass knows " + FORMAT;
            }
        }

        /** The disk lost what had been written durably: somebody has to look, nothing is deleted. */
        record Damaged(SandboxId id, String problem) implements Found {}
    }

    /**
     * The file's layout. {@code format} changes when an older agent could not read it; {@code template} is called so in every
     * format, and what it names is not removed.
     */
    private record Document(
            int format,
            String id,
            String templateId,
            String template,
            boolean booted,
            int vcpus,
            int memoryMb,
            int timeoutSec,
            Map<String, String> env,
            String createdAt,
            String state,
            @Nullable String reason,
            @Nullable Machine machine,
            @Nullable String guestToken,
            boolean idle) {}

    Path directory(SandboxId id) {
        return sandboxes.resolve(id.value());
    }

    void write(Entry entry) {
        DurableFile.write(directory(entry.id()).resolve(FILE), JSON.writeValueAsBytes(toDocument(entry)));
    }

    /** Of a sandbox whose folder is new: that is durable too afterwards. */
    void writeFirst(Entry entry) {
        write(entry);
        Linux.fsyncDirectory(sandboxes);
    }

    /** Whether this is what the ledger says. */
    boolean holds(Entry entry) {
        return read(entry.id(), directory(entry.id()).resolve(FILE)) instanceof Found.Known known
                && known.entry().equals(entry);
    }

    /** One element for each folder that is named like a sandbox. */
    List<Found> scan() {
        List<Found> found = new ArrayList<>();
        try (Stream<Path> folders = Files.list(sandboxes)) {
            folders.forEach(folder -> {
                String name = String.valueOf(folder.getFileName());
                if (Ids.isValid(SandboxId.PREFIX, name)) {
                    found.add(read(new SandboxId(name), folder.resolve(FILE)));
                } else {
                    log.warn("ledger: {} is not a sandbox's folder and is left alone", name);
                }
            });
        } catch (IOException e) {
            throw new UncheckedIOException("read the ledger", e);
        }
        return found;
    }

    /** Ids of the templates that a sandbox's disk depends on. */
    Set<String> templates() {
        return scan().stream().map(Ledger::template).collect(Collectors.toSet());
    }

    private static String template(Found found) {
        return switch (found) {
            case Found.Known known -> known.entry().template();
            case Found.OtherFormat other -> other.template();
            case Found.Missing _, Found.Damaged _ -> "";
        };
    }

    private static Found read(SandboxId id, Path file) {
        try {
            JsonNode json = JSON.readTree(Files.readAllBytes(file));
            int format = json.path("format").asInt(0);
            if (format != FORMAT && format > 0) {
                return new Found.OtherFormat(id, format, json.path("template").asString(""));
            }
            Entry entry = fromDocument(JSON.treeToValue(json, Document.class));
            if (!entry.id().equals(id)) {
                return new Found.Damaged(id, "it is the ledger of " + entry.id());
            }
            return new Found.Known(id, entry);
        } catch (NoSuchFileException e) {
            return new Found.Missing(id);
        } catch (JacksonException
                | PlatformException
                | IllegalArgumentException
                | NullPointerException
                | DateTimeException e) {
            return new Found.Damaged(id, String.valueOf(e.getMessage()));
        } catch (IOException e) {
            return new Found.Damaged(id, "cannot be read: " + e);
        }
    }

    private static Document toDocument(Entry entry) {
        SandboxState state = entry.state();
        return new Document(
                FORMAT,
                entry.id().value(),
                entry.templateId(),
                entry.template(),
                entry.booted(),
                entry.vcpus(),
                entry.memoryMb(),
                entry.timeoutSec(),
                entry.env(),
                entry.createdAt().toString(),
                stateName(state),
                state instanceof SandboxState.Stopped stopped ? stopped.reason() : null,
                switch (state) {
                    case SandboxState.Running running -> running.machine();
                    case SandboxState.Resuming resuming -> resuming.machine();
                    default -> null;
                },
                switch (state) {
                    case SandboxState.Paused paused -> paused.guestToken();
                    case SandboxState.Resuming resuming -> resuming.frozenToken();
                    default -> null;
                },
                state instanceof SandboxState.Paused paused && paused.idle());
    }

    private static String stateName(SandboxState state) {
        return switch (state) {
            case SandboxState.Creating _ -> throw new IllegalArgumentException("a creation is not written down");
            case SandboxState.Running _ -> "running";
            case SandboxState.Paused _ -> "paused";
            case SandboxState.Resuming _ -> "resuming";
            case SandboxState.Stopped _ -> "stopped";
            case SandboxState.Destroying _ -> "destroying";
        };
    }

    private static Entry fromDocument(Document d) {
        if (d.format() != FORMAT) {
            throw new IllegalArgumentException("format " + d.format() + " instead of " + FORMAT);
        }
        return new Entry(
                new SandboxId(d.id()),
                d.templateId(),
                d.template(),
                d.booted(),
                d.vcpus(),
                d.memoryMb(),
                d.timeoutSec(),
                d.env(),
                Instant.parse(d.createdAt()),
                state(d));
    }

    private static SandboxState state(Document d) {
        return switch (d.state()) {
            case "running" -> new SandboxState.Running(machine(d));
            case "paused" -> new SandboxState.Paused(guestToken(d), d.idle());
            case "resuming" -> new SandboxState.Resuming(machine(d), guestToken(d));
            case "stopped" -> new SandboxState.Stopped(Objects.requireNonNull(d.reason(), "stopped without a reason"));
            case "destroying" -> new SandboxState.Destroying();
            default -> throw new IllegalArgumentException("unknown state " + d.state());
        };
    }

    private static Machine machine(Document d) {
        return Objects.requireNonNull(d.machine(), d.state() + " without a machine");
    }

    private static String guestToken(Document d) {
        return Objects.requireNonNull(d.guestToken(), d.state() + " without the guest's token");
    }
}
