package dev.sandglass.host.vmm;

import java.nio.file.Path;

/** One layer of a VM's disk; chains are given top first, and only the top is ever written. */
public record BlockLayer(Path file, boolean qcow2) {}
