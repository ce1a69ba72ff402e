/**
 * The host's kernel seen from Java: one method per system call ({@link Linux}), short commands ({@link Command}), and
 * the few shapes that everything which owns something outside the heap needs ({@link Deadline}, {@link DurableFile},
 * {@link FileDescriptor}). Knows no policy and nothing of sandboxes.
 */
@NullMarked
package dev.sandglass.host.linux;

import org.jspecify.annotations.NullMarked;
