package dev.sandglass.host.image;

/** What a template is frozen for. */
public record Shape(String templateId, int vcpus, int memoryMb) {}
