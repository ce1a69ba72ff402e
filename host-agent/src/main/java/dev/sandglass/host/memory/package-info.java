/**
 * Guest memory on disk as generations: which page lives where ({@link dev.sandglass.host.memory.Header}), what of a
 * stopped process's memory has to be written ({@link dev.sandglass.host.memory.ProcessMemory}, {@link
 * dev.sandglass.host.memory.Draft}), what there is to give back ({@link dev.sandglass.host.memory.MemoryImage}), and a
 * directory of it all that is whole at any moment ({@link dev.sandglass.host.memory.GenerationStore}). Knows neither
 * VMMs nor templates nor sandboxes: the base is a file, the process a pid, and what else belongs to a frozen state is
 * an attachment.
 */
@NullMarked
package dev.sandglass.host.memory;

import org.jspecify.annotations.NullMarked;
