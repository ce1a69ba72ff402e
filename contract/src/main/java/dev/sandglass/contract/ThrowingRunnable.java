package dev.sandglass.contract;

/** A step that may fail in any way. */
@FunctionalInterface
public interface ThrowingRunnable {
    void run() throws Exception;
}
