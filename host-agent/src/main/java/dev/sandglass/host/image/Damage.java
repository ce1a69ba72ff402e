package dev.sandglass.host.image;

/** Why something in a store cannot be used, as a clause: "its memory file is missing". Becomes an error with a remedy. */
sealed class Damage extends Exception {
    private static final long serialVersionUID = 1;

    /** It is sound, as far as that can be known, and was written by another version of Sandglass. */
    static final class OtherFormat extends Damage {
        private static final long serialVersionUID = 1;

        private final int format;
        private final String imageDigest;

        /**
         * @param format 0: it does not say
         * @param known what this version reads and writes
         * @param imageDigest of the image it depends on, in whichever format; empty: it does not say
         */
        OtherFormat(int format, int known, String imageDigest) {
            super("its format is version " + format + ", this Sandglass knows " + known);
            this.format = format;
            this.imageDigest = imageDigest;
        }

        int format() {
            return format;
        }

        String imageDigest() {
            return imageDigest;
        }
    }

    Damage(String what) {
        super(what);
    }

    String what() {
        return String.valueOf(getMessage());
    }
}
