package dev.sandglass.host.vmm.qemu;

import java.nio.file.Path;

/**
 * Which QEMU, and how it runs.
 *
 * @param binary qemu-system-x86_64, absolute
 * @param acceleration what the operator wants
 * @param translationCacheMb size of the emulator's cache of translated code; unused with KVM. 32 and 64 behave alike (a
 *     third of an idle VM's memory each), 8 makes everything 10 to 20 times slower
 */
public record QemuConfiguration(Path binary, Acceleration.Choice acceleration, int translationCacheMb) {
    public static final int TRANSLATION_CACHE_MB = 32;

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
