package dev.sandglass.contract;

import java.security.SecureRandom;

/**
 * Identifiers: a prefix that names the kind, directly followed by 20 characters of lower-case Crockford base32 (100
 * random bits). They are safe in paths, host names and shell words, which is why nothing else is accepted as one.
 */
public sealed interface Id {
    /** The whole identifier, prefix included. */
    String value();

    record SandboxId(String value) implements Id {
        public static final String PREFIX = "sb";

        public SandboxId {
            Ids.require(PREFIX, value);
        }

        public static SandboxId random() {
            return new SandboxId(Ids.random(PREFIX));
        }

        @Override
        public String toString() {
            return value;
        }
    }

    record UserId(String value) implements Id {
        public static final String PREFIX = "usr";

        public UserId {
            Ids.require(PREFIX, value);
        }

        public static UserId random() {
            return new UserId(Ids.random(PREFIX));
        }

        @Override
        public String toString() {
            return value;
        }
    }

    record TeamId(String value) implements Id {
        public static final String PREFIX = "team";

        public TeamId {
            Ids.require(PREFIX, value);
        }

        public static TeamId random() {
            return new TeamId(Ids.random(PREFIX));
        }

        @Override
        public String toString() {
            return value;
        }
    }

    record ApiKeyId(String value) implements Id {
        public static final String PREFIX = "key";

        public ApiKeyId {
            Ids.require(PREFIX, value);
        }

        public static ApiKeyId random() {
            return new ApiKeyId(Ids.random(PREFIX));
        }

        @Override
        public String toString() {
            return value;
        }
    }

    record SnapshotId(String value) implements Id {
        public static final String PREFIX = "snp";

        public SnapshotId {
            Ids.require(PREFIX, value);
        }

        public static SnapshotId random() {
            return new SnapshotId(Ids.random(PREFIX));
        }

        @Override
        public String toString() {
            return value;
        }
    }

    record ExecId(String value) implements Id {
        public static final String PREFIX = "ex";

        public ExecId {
            Ids.require(PREFIX, value);
        }

        public static ExecId random() {
            return new ExecId(Ids.random(PREFIX));
        }

        @Override
        public String toString() {
            return value;
        }
    }

    /** The alphabet and its checks. */
    final class Ids {
        private static final String ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
        private static final int LENGTH = 20;
        private static final SecureRandom RANDOM = new SecureRandom();

        private Ids() {}

        /** {@code length} random characters of the alphabet, 5 bits each. */
        public static String randomCharacters(int length) {
            StringBuilder text = new StringBuilder(length);
            for (int i = 0; i < length; i++) {
                text.append(ALPHABET.charAt(RANDOM.nextInt(ALPHABET.length())));
            }
            return text.toString();
        }

        public static boolean isValid(String prefix, String value) {
            if (value.length() != prefix.length() + LENGTH || !value.startsWith(prefix)) {
                return false;
            }
            for (int i = prefix.length(); i < value.length(); i++) {
                if (ALPHABET.indexOf(value.charAt(i)) < 0) {
                    return false;
                }
            }
            return true;
        }

        static String random(String prefix) {
            return prefix + randomCharacters(LENGTH);
        }

        static void require(String prefix, String value) {
            if (!isValid(prefix, value)) {
                throw new PlatformException(
                        ErrorCode.INVALID_REQUEST,
                        "Not an identifier: expected '" + prefix + "' followed by " + LENGTH
                                + " characters of [0-9a-z].");
            }
        }
    }
}
