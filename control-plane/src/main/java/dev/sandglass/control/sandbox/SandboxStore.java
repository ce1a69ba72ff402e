package dev.sandglass.control.sandbox;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.control.idempotency.Answer;
import dev.sandglass.control.idempotency.Idempotency;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Rows of sandboxes, as what works on sandboxes sees them. Thread-safe. */
interface SandboxStore {
    /** What became of an attempt to insert. */
    sealed interface Insertion {
        record Inserted(Sandbox sandbox) implements Insertion {}

        /** The team has what it may have; {@code limit} says of what. */
        record OverQuota(String limit) implements Insertion {}

        /** The Idempotency-Key has been used. */
        record Repeated() implements Insertion {}
    }

    /** What became of an attempt to begin a resume. */
    sealed interface Resumption {
        record Begun(Sandbox sandbox) implements Resumption {}

        record OverQuota(String limit) implements Resumption {}

        /** The row is no longer what it was. */
        record Overtaken() implements Resumption {}
    }

    /** A new sandbox. */
    record New(TeamId team, String hostId, Template template, SandboxSpec spec, int vcpus, int memoryMb) {}

    /** The team's turn, its quota, the key and the row, all or nothing. */
    Insertion insert(New wanted, Optional<Idempotency> idempotency, TeamQuota quota, Duration within);

    /** Writes down what the one who first used the subject's key was told. */
    void answered(SandboxId subject, Answer answer);

    /** Undoes an insertion from which nothing has come, its key included. */
    void withdraw(SandboxId id);

    Optional<Sandbox> find(TeamId team, SandboxId id);

    /** Whether the team had it, and it has been deleted not long ago. */
    boolean wasDeleted(TeamId team, SandboxId id);

    /** The row as it is afterwards; empty when its status or version is no longer that of {@code from}. */
    Optional<Sandbox> change(Sandbox from, Change change);

    /** As change, if the team may have so much memory alive. */
    Resumption resume(Sandbox from, Change change, TeamQuota quota);

    /** Nobody works any more at this transition. */
    void abandoned(Sandbox transition);

    /** The row as it is afterwards; empty when there is none. */
    Optional<Sandbox> requestDeletion(TeamId team, SandboxId id);

    /** Its host has confirmed. What is in transition is not deleted before that has ended. */
    boolean deleted(SandboxId id);

    /** All of a host that are not deleted. */
    List<Sandbox> ofHost(String hostId);

    /** What is known of {@code ids}; nothing of those without a row. */
    Map<String, Plan.Known> known(Collection<String> ids);
}
