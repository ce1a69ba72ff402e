package dev.sandglass.host.image;

import dev.sandglass.host.linux.FileDescriptor;
import java.nio.file.Path;
import java.util.List;

/**
 * A frozen machine that clones are made from. While it is open its memory and device state are held in sealed memfds:
 * what later happens to the files cannot reach a VM. Thread-safe.
 */
public interface Template extends AutoCloseable {
    String id();

    Shape shape();

    /** The image its disk builds on. */
    String imageDigest();

    /** Sealed; belongs to the template. */
    FileDescriptor memory();

    /** Sealed; belongs to the template. */
    FileDescriptor deviceState();

    /** The disk it was frozen with: a qcow2 layer on the image's raw root file system. Never written. */
    List<Path> diskFilesTopFirst();

    /** What the frozen guest's agent accepts until it is given a token of its own. */
    byte[] guestToken();

    /**
     * To be called before each clone; a few stats when nothing has changed.
     *
     * @throws dev.sandglass.contract.PlatformException if a file is missing or was altered
     */
    void requireIntact();

    @Override
    void close();
}
