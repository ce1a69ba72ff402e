package dev.sandglass.control.sandbox;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.idempotency.Answer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** From a pending row to a running machine, or to nothing. Called within the lifecycle. */
final class Launch {
    private static final Logger log = LoggerFactory.getLogger(Launch.class);

    private final SandboxStore store;
    private final Machines machines;
    private final Operations operations;

    Launch(SandboxStore store, Machines machines, Operations operations) {
        this.store = store;
        this.machines = machines;
        this.operations = operations;
    }

    /** {@code remember}: the answer is kept for a repetition of the request. */
    Answer answer(Sandbox pending, SandboxSpec spec, boolean remember) {
        Answer answer;
        try {
            answer = Answer.created(SandboxObject.of(start(pending, spec)));
        } catch (PlatformException e) {
            if (isRefusal(e)) {
                store.withdraw(pending.id());
                throw e;
            }
            abandon(pending, e);
            answer = Answer.failed(e);
        }
        if (remember) {
            store.answered(pending.id(), answer);
        }
        return answer;
    }

    Sandbox start(Sandbox pending, SandboxSpec spec) {
        String hostIp = machines.create(pending, spec);
        return store.change(pending, Change.running(hostIp, false))
                .or(() -> store.find(pending.team(), pending.id())
                        .filter(row -> row.status() == SandboxStatus.RUNNING)) // the reconciler was quicker
                .orElseThrow(() -> new PlatformException(
                        ErrorCode.CONFLICT, "The sandbox was ended by somebody else while it was being made."));
    }

    /** The agent has looked at it and said no: nothing has come of it. */
    private static boolean isRefusal(PlatformException failure) {
        return switch (failure.code()) {
            case INVALID_REQUEST, NOT_FOUND, QUOTA_EXCEEDED, NO_CAPACITY, DISK_FULL, INCOMPATIBLE_SNAPSHOT -> true;
            default -> false;
        };
    }

    /** Whatever may have come of it must go, now or by the reconciler. */
    private void abandon(Sandbox pending, PlatformException why) {
        log.atWarn().addKeyValue("sandbox", pending.id()).setCause(why).log("a sandbox did not come up");
        store.change(pending, Change.broken(why.reason()));
        store.requestDeletion(pending.team(), pending.id());
        operations.destroyOrLeave(pending);
    }
}
