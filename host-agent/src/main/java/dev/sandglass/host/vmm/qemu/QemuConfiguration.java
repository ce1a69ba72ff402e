package dev.sandglass.host.vmm.qemu;

import java.nio.file.Path;

/**
 * Which QEMU, and how it runs.
 *
 * @param binary qemu-system-x86_64, absolute
 * @param acceleration what the operator wants
 * @param translationCacheMb size of the emulator's cache of translated code; unused with KVM. When it is full all of it is
 *     thrown away. Kernel, shell and one Python are 34 MB: with 32 a {@code python3 -c} took 350 ms of processor time
 *     instead of 105, and whatever came next 110 instead of 7. What is not used costs nothing; 8 makes everything 10 to
 *     20 times slower
 */
public record QemuConfiguration(Path binary, Acceleration.Choice acceleration, int translationCacheMb) {
    public static final int TRANSLATION_CACHE_MB = 64;

    public QemuConfiguration {
        if (!binary.isAbsolute() || translationCacheMb < 1) {
            throw new IllegalArgumentException("QEMU's path must be absolute and its translation cache positive");
        }
    }

    /** Debian's and Ubuntu's QEMU, with KVM where it is usable. */
    public static QemuConfiguration standard() {
        return new QemuConfiguration(
                Path.of("/usr/bin/qemu-system-x86_64"), Acceleration.Choice.AUTOMATIC, TRANSLATION_CACHE_MB);
    }
}
