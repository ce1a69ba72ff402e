package dev.sandglass.control;

import java.util.List;

/** Settings that cannot be used. Each problem begins with the name of its variable and says what would be right. */
public final class ConfigurationException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final List<String> problems;

    ConfigurationException(List<String> problems) {
        super(String.join("\n", problems));
        this.problems = List.copyOf(problems);
    }

    public List<String> problems() {
        return problems;
    }
}
