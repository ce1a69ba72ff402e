package dev.sandglass.host.image;

import java.nio.file.Path;

/**
 * Checked boot files.
 *
 * @param digest names them: other content, other digest
 * @param rootfs raw ext4, the bottom of every disk made from it; never written
 * @param guestAgentVersion SHA-256 of the agent in the initramfs, shortened
 * @param kernelArguments without a console
 */
public record BootImages(
        String digest, Path kernel, Path initramfs, Path rootfs, String guestAgentVersion, String kernelArguments) {}
