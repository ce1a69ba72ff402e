package dev.sandglass.cli.machine;

/**
 * One thing that was looked at.
 *
 * @param detail what was found, a few words
 * @param remedy what to do about it; empty when nothing
 */
public record Check(String name, Status status, String detail, String remedy) {
    public enum Status {
        /** As it should be. */
        OK,
        /** It works, but not as well as it could. */
        NOTE,
        /** {@code up} installs what is missing when it is root and the distribution's package manager has it. */
        MISSING,
        /** A server cannot run like this. */
        FAIL
    }

    static Check ok(String name, String detail) {
        return new Check(name, Status.OK, detail, "");
    }

    static Check note(String name, String detail, String remedy) {
        return new Check(name, Status.NOTE, detail, remedy);
    }

    static Check fail(String name, String detail, String remedy) {
        return new Check(name, Status.FAIL, detail, remedy);
    }
}
