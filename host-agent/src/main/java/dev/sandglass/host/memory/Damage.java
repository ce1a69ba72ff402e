package dev.sandglass.host.memory;

/** Something of a frozen memory is missing or not as it was written; says what, without a path. */
final class Damage extends Exception {
    private static final long serialVersionUID = 1;

    Damage(String what) {
        super(what);
    }

    String what() {
        return String.valueOf(getMessage());
    }
}
