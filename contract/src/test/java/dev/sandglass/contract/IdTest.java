package dev.sandglass.contract;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.Id.SandboxId;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class IdTest {
    @Test
    void aRandomIdIsAccepted() {
        SandboxId id = SandboxId.random();
        assertThat(new SandboxId(id.value())).isEqualTo(id);
        assertThat(id.value()).matches("sb[0-9a-z]{20}");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "sb",
                "sb0123456789012345678",
                "sb012345678901234567890",
                "xx01234567890123456789",
                "sb0123456789012345678I",
                "sb../../../etc/passwd00",
                "sb0123456789012345678\n",
                "sb0123456789 123456789",
                "sb0123456789012345678i"
            })
    void anythingElseIsRefused(String value) {
        assertThatThrownBy(() -> new SandboxId(value)).isInstanceOf(PlatformException.class);
    }
}
