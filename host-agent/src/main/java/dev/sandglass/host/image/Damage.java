package dev.sandglass.host.image;

/** Why something in a store cannot be used, as a clause: "its memory file is missing". Becomes an error with a remedy. */
final class Damage extends Exception {
    private static final long serialVersionUID = 1;

    Damage(String what) {
        super(what);
    }

    String what() {
        return String.valueOf(getMessage());
    }
}
