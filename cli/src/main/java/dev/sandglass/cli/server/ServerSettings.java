package dev.sandglass.cli.server;

import dev.sandglass.contract.Installation;
import dev.sandglass.control.ConfigurationException;
import dev.sandglass.control.ConfigurationKeys;
import dev.sandglass.control.ControlPlaneConfiguration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;

/** Settings of the server programs, checked as a whole. */
public record ServerSettings(Settings settings, ControlPlaneConfiguration control, HostSettings host) {
    /** Those of the command line itself. */
    private static final List<ConfigurationKeys.Key> CLIENT_KEYS = List.of(
            new ConfigurationKeys.Key(
                    "SANDGLASS_URL", "which server the commands talk to (default: the one of SANDGLASS_HOME)"),
            new ConfigurationKeys.Key("SANDGLASS_API_KEY", "the key for it (default: the one `up` has made)"),
            new ConfigurationKeys.Key("SANDGLASS_DEBUG", "1: stack traces for errors"));

    /** Every variable there is. */
    public static ConfigurationKeys keys() {
        return ConfigurationKeys.controlPlane()
                .and(HostSettings.KEYS)
                .and(LogSettings.KEYS)
                .and(CLIENT_KEYS);
    }

    /** Throws {@link SettingsProblem} with everything that is wrong. Changes nothing on disk. */
    public static void check(Settings settings) {
        Map<String, String> variables = new HashMap<>(settings.variables());
        // With both given, none is made and kept: a check leaves no trace.
        variables.putIfAbsent(Installation.ID_KEY, "00000000");
        variables.putIfAbsent(Installation.TOKEN_KEY, "0".repeat(32));
        LinkedHashSet<String> problems = new LinkedHashSet<>();
        try {
            ControlPlaneConfiguration.read(variables, keys());
        } catch (ConfigurationException e) {
            problems.addAll(e.problems());
        }
        List<String> ofHost = new ArrayList<>();
        HostSettings.read(variables, ofHost);
        LogSettings.read(variables, ofHost);
        problems.addAll(ofHost);
        if (!problems.isEmpty()) {
            throw new SettingsProblem(List.copyOf(problems));
        }
    }

    /** Of checked settings. */
    static LogSettings log(Settings settings) {
        return LogSettings.read(settings.variables(), new ArrayList<>());
    }

    /** Of checked settings. Makes the installation's id and secrets the first time. */
    static ServerSettings read(Settings settings) {
        return new ServerSettings(
                settings,
                ControlPlaneConfiguration.read(settings.variables(), keys()),
                HostSettings.read(settings.variables(), new ArrayList<>()));
    }
}
