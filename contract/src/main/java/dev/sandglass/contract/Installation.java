package dev.sandglass.contract;

import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/**
 * Which installation of Sandglass a program belongs to, and the secret its programs know each other by. Kept under
 * SANDGLASS_HOME/installation, made once; programs with homes of their own on other machines get the same values by
 * {@value #ID_KEY} and {@value #TOKEN_KEY}.
 *
 * @param id lower-case letters and digits, 8 to 32
 * @param agentToken what control plane and host agents present to each other, at least 32 characters
 */
public record Installation(String id, String agentToken) {
    public static final String ID_KEY = "SANDGLASS_INSTALLATION";
    public static final String TOKEN_KEY = "SANDGLASS_AGENT_TOKEN";

    private static final int ID_LENGTH = 8;
    private static final int TOKEN_LENGTH = 52; // 260 bits

    public Installation {
        if (!id.matches("[0-9a-z]{8,32}")) {
            throw new IllegalArgumentException(ID_KEY + " is not 8 to 32 lower-case letters and digits");
        }
        if (agentToken.length() < 32 || !agentToken.chars().allMatch(c -> c > ' ' && c < 127)) {
            throw new IllegalArgumentException(TOKEN_KEY + " is not 32 or more printable characters");
        }
    }

    /** The installation of this home; {@code environment} may give either value, what is missing is made and kept. */
    public static Installation open(Path home, Map<String, String> environment) {
        Path directory = home.resolve("installation");
        return new Installation(
                Optional.ofNullable(environment.get(ID_KEY))
                        .orElseGet(() ->
                                SecretFile.ensure(directory.resolve("id"), () -> Id.Ids.randomCharacters(ID_LENGTH))),
                Optional.ofNullable(environment.get(TOKEN_KEY))
                        .orElseGet(() -> SecretFile.ensure(
                                directory.resolve("agent-token"), () -> Id.Ids.randomCharacters(TOKEN_LENGTH))));
    }

    /** Without the token. */
    @Override
    public String toString() {
        return "installation " + id;
    }
}
