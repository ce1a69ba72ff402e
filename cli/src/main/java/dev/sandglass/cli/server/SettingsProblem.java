package dev.sandglass.cli.server;

import java.util.List;

/** What is wrong with the settings, all of it at once; each line names its variable or file. */
public final class SettingsProblem extends RuntimeException {
    private static final long serialVersionUID = 1;

    @SuppressWarnings("serial") // never serialized
    private final List<String> problems;

    public SettingsProblem(List<String> problems) {
        super(String.join("\n", problems));
        this.problems = List.copyOf(problems);
    }

    public List<String> problems() {
        return problems;
    }
}
