package dev.sandglass.host.vmm;

import dev.sandglass.host.process.ProcessIdentity;
import java.io.IOException;

/** Gives a machine that is being restored the memory it had beyond what it maps. */
@FunctionalInterface
public interface MemoryLoader {
    /** The frozen memory is all there is. */
    MemoryLoader NONE = _ -> {};

    /**
     * Called once, on the thread that restores, when {@code process} has the frozen memory mapped privately in full; it
     * has not loaded its device state and no guest code runs. Whatever is thrown ends the process and reaches the caller
     * of {@link BlankMachine#restore}, an {@link IOException} as an unchecked one.
     */
    void load(ProcessIdentity process) throws IOException;
}
