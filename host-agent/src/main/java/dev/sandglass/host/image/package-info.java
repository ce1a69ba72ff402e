/**
 * What sandboxes are made from, on disk: boot images (kernel, initramfs, base disk) and frozen templates. Every file is
 * checked before a VM may depend on it, since a VMM would take an emptied memory file for zeroed memory. Knows files
 * only; who boots and freezes is elsewhere.
 *
 * <pre>
 * images/current                   digest of the image that new templates are made from
 * images/DIGEST/                   kernel modules initramfs rootfs.ext4 manifest.json
 * images/.build-*                  being built; of a dead builder when the lock is free
 * templates/ID/                    memory (sparse) state disk-0001.qcow2 manifest.json
 * templates/.draft-*               being frozen; of a dead agent when its lock is free
 * </pre>
 *
 * A manifest is {@code {"format":1,"checksum":SHA-256 of the content as written,"content":{…}}}. An image's directory is
 * named by that checksum; a template's content repeats its id. Neither holds a path. Files appear in it as {@code
 * {"bytes":…,"digest":…}} with the digest of {@link dev.sandglass.host.image.SparseFile}. Directories are root's alone.
 */
@NullMarked
package dev.sandglass.host.image;

import org.jspecify.annotations.NullMarked;
