package dev.sandglass.cli.server;

import dev.sandglass.cli.client.Access;
import dev.sandglass.cli.client.Json;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Who typed {@code sudo ./sandglass up}: gets the local key too, so that the other commands need no sudo. It is written by
 * a process of that user's own, never by root into a folder that the user controls.
 */
record InvokingUser(int uid, int gid) {
    private static final Logger log = LoggerFactory.getLogger(InvokingUser.class);

    /** The user's folder of the shell that runs this; the same as that of {@link Settings} for users. */
    private static final String STORE = "umask 077; home=$(getent passwd \"$(id -u)\" | cut -d: -f6)/.sandglass;"
            + " mkdir -p \"$home\" && cat >\"$home/client.json.new\" && mv \"$home/client.json.new\" \"$home/client.json\"";

    static Optional<InvokingUser> of(Map<String, String> environment) {
        try {
            int uid = Integer.parseInt(environment.getOrDefault("SUDO_UID", "0"));
            int gid = Integer.parseInt(environment.getOrDefault("SUDO_GID", "0"));
            return uid > 0 && gid > 0 ? Optional.of(new InvokingUser(uid, gid)) : Optional.empty();
        } catch (NumberFormatException e) {
            return Optional.empty();
        }
    }

    /** A failure is no reason not to serve. */
    void give(Access access) {
        try {
            Process process = new ProcessBuilder(
                            "setpriv", "--reuid=" + uid, "--regid=" + gid, "--clear-groups", "sh", "-c", STORE)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            try (OutputStream in = process.getOutputStream()) {
                in.write((Json.writeIndented(Home.toJson(access)) + "\n").getBytes(StandardCharsets.UTF_8));
            }
            if (!process.waitFor(5, TimeUnit.SECONDS) || process.exitValue() != 0) {
                process.destroyForcibly();
                log.warn("the invoking user's copy of the local key could not be written");
            }
        } catch (IOException e) {
            log.warn("the invoking user's copy of the local key could not be written", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
