package dev.sandglass.host.vmm.qemu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.host.linux.TimeStampCounter;
import dev.sandglass.host.vmm.TestImages;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class AccelerationTest {
    private static final Path QEMU = QemuConfiguration.standard().binary();

    @TempDir
    Path directory;

    @Test
    void aDeviceThatOpensIsNoKvmWithoutTheProcessorsFlag() throws IOException {
        assertThat(Acceleration.obstacle(cpuinfo("fpu vme de"), Path.of("/dev/null")))
                .hasValueSatisfying(why -> assertThat(why).contains("svm", "vmx"));
        assertThat(Acceleration.obstacle(directory.resolve("nothing"), Path.of("/dev/null")))
                .isPresent();
    }

    @Test
    void theProcessorsFlagIsNoKvmWithoutADevice() throws IOException {
        assertThat(Acceleration.obstacle(cpuinfo("fpu vmx"), directory.resolve("kvm")))
                .hasValueSatisfying(why -> assertThat(why).contains("/dev/kvm cannot be opened"));
        assertThat(Acceleration.obstacle(cpuinfo("fpu svm de"), Path.of("/dev/null")))
                .isEmpty();
    }

    @Test
    void theChoiceCanBeForcedAndSaysSo() {
        assertThat(Acceleration.examine(Acceleration.Choice.EMULATION))
                .isEqualTo(new Acceleration(false, "emulation is asked for by the configuration"));
        assertThat(Acceleration.examine(Acceleration.Choice.KVM).accelerator()).isEqualTo("kvm");
    }

    @Test
    void theTrialTellsAKernelThatRunsFromOneThatDoesNot() throws IOException {
        String clock = QemuCommand.clock(TimeStampCounter.measureKhz());
        Path kernel = TestImages.build().kernel();
        assertThat(Acceleration.bootsUnder("tcg", QEMU, kernel, clock, Duration.ofSeconds(40)))
                .isTrue();
        Path nonsense = Files.write(directory.resolve("kernel"), new byte[10_000]);
        assertThat(Acceleration.bootsUnder("tcg", QEMU, nonsense, clock, Duration.ofSeconds(1)))
                .isFalse();
    }

    private Path cpuinfo(String flags) throws IOException {
        return Files.writeString(directory.resolve("cpuinfo"), "processor\t: 0\nflags\t\t: " + flags + "\nbugs\t:\n");
    }
}
