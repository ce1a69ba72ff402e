/**
 * Measures a running Sandglass from outside, beside a cold boot and podman in the same run, and holds it to its promises.
 * Nothing depends on this package. It leaves nothing behind: sandboxes it made are found again by their metadata.
 */
@NullMarked
package dev.sandglass.bench;

import org.jspecify.annotations.NullMarked;
