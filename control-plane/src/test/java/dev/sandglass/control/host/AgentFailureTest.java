package dev.sandglass.control.host;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import io.grpc.Metadata;
import io.grpc.Status;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

final class AgentFailureTest {
    private static PlatformException of(Status status, String named) {
        Metadata trailers = new Metadata();
        if (!named.isEmpty()) {
            trailers.put(AgentFailure.ERROR_CODE, named);
        }
        return AgentFailure.of(status, trailers, new IllegalStateException());
    }

    @Test
    void whatAnAgentHasWordsForIsToldInItsWords() {
        PlatformException ended = of(Status.INTERNAL.withDescription("The machine ended."), "agent_error");
        assertThat(ended.code()).isEqualTo(ErrorCode.AGENT_ERROR);
        assertThat(ended).hasMessage("The machine ended.");
        PlatformException busy = of(Status.UNAVAILABLE.withDescription("This host is too busy."), "host_unavailable");
        assertThat(busy.code()).isEqualTo(ErrorCode.HOST_UNAVAILABLE);
        assertThat(busy).hasMessage("This host is too busy.");
    }

    @ParameterizedTest
    @EnumSource(names = {"INTERNAL", "UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED"})
    void whatNobodyWordedStaysInTheLog(Status.Code code) {
        PlatformException failure = of(code.toStatus().withDescription("java.io.IOException: /var/lib"), "");
        assertThat(failure.code().httpStatus()).isBetween(502, 503);
        assertThat(failure.reason()).doesNotContain("/var/lib");
        assertThat(of(code.toStatus().withDescription("/var/lib"), "internal_error")
                        .reason())
                .as("a bug of the agent's")
                .doesNotContain("/var/lib");
    }
}
