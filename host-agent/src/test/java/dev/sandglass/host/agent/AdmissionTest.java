package dev.sandglass.host.agent;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class AdmissionTest {
    @TempDir
    Path home;

    private Admission admission(int totalMb, int availableMb, double overcommit, long diskReserve) throws IOException {
        Path meminfo = home.resolve("meminfo");
        Files.writeString(
                meminfo,
                "MemTotal:       %d kB%nMemFree:  1 kB%nMemAvailable:   %d kB%n"
                        .formatted(totalMb * 1024L, availableMb * 1024L));
        return new Admission(
                new HostAgentConfiguration(
                        home,
                        "abcdefgh",
                        "t".repeat(32),
                        home,
                        Optional.empty(),
                        Optional.empty(),
                        0,
                        0,
                        diskReserve,
                        100,
                        overcommit,
                        8L << 30,
                        4),
                meminfo);
    }

    @Test
    void promisesEndAtTheOvercommittedMemoryAndReturnOnRelease() throws IOException {
        Admission admission = admission(1000, 10_000, 2.0, 0);
        Admission.Promise first = admission.admit(1024);
        first.started();
        assertThatThrownBy(() -> admission.admit(1024)).satisfies(refused -> {
            assertThat(((PlatformException) refused).code()).isEqualTo(ErrorCode.NO_CAPACITY);
            assertThat(refused).hasMessageContaining("2000 MB").hasMessageContaining("SANDGLASS_MEMORY_OVERCOMMIT");
        });
        first.close();
        first.close();
        admission.admit(1024).close();
        assertThatThrownBy(() -> admission.admit(2048)).isInstanceOf(PlatformException.class);
    }

    @Test
    void aHostWithoutFreeMemoryRefuses() throws IOException {
        Admission admission = admission(10_000, 150, 4.0, 0);
        assertThatThrownBy(() -> admission.admit(128)).satisfies(refused -> {
            assertThat(((PlatformException) refused).code()).isEqualTo(ErrorCode.NO_CAPACITY);
            assertThat(refused).hasMessageContaining("SANDGLASS_MEMORY_RESERVE_MB");
        });
    }

    @Test
    void sandboxesThatAreStillStartingCountAgainstFreeMemory() throws IOException {
        Admission admission = admission(10_000, 250, 4.0, 0);
        Admission.Promise first = admission.admit(128);
        Admission.Promise second = admission.admit(128);
        assertThatThrownBy(() -> admission.admit(128)).isInstanceOf(PlatformException.class);
        first.started();
        admission.admit(128).close();
        second.close();
    }

    @Test
    void aFullDiskRefusesAndNamesTheSetting() throws IOException {
        Admission admission = admission(10_000, 9000, 4.0, Long.MAX_VALUE);
        assertThatThrownBy(() -> admission.admit(128)).satisfies(refused -> {
            assertThat(((PlatformException) refused).code()).isEqualTo(ErrorCode.DISK_FULL);
            assertThat(refused).hasMessageContaining("SANDGLASS_DISK_RESERVE_MB");
        });
    }
}
