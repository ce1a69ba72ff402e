package dev.sandglass.cli.server;

import dev.sandglass.cli.client.Access;
import io.github.cdimascio.dotenv.Dotenv;
import io.github.cdimascio.dotenv.DotenvEntry;
import io.github.cdimascio.dotenv.DotenvException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The environment, with {@code .env} underneath: that of the current directory, else that of the repository. The real
 * environment wins. An empty value counts as absent.
 */
public record Settings(Map<String, String> variables) {
    public static final String DEFAULT_LISTEN = "127.0.0.1:8000";

    public Settings {
        variables = Map.copyOf(variables);
    }

    /** Reads both. Throws {@link SettingsProblem} when {@code .env} cannot be read. */
    public static Settings load(Map<String, String> environment, List<Path> directories) {
        Map<String, String> merged = new HashMap<>();
        directories.stream()
                .filter(directory -> Files.isRegularFile(directory.resolve(".env")))
                .findFirst()
                .ifPresent(directory -> merged.putAll(read(directory)));
        merged.putAll(environment);
        merged.values().removeIf(String::isBlank);
        merged.putIfAbsent("SANDGLASS_HOME", defaultHome().toString());
        return new Settings(merged);
    }

    private static Map<String, String> read(Path directory) {
        Map<String, String> entries = new HashMap<>();
        try {
            Dotenv file = Dotenv.configure().directory(directory.toString()).load();
            for (DotenvEntry entry : file.entries(Dotenv.Filter.DECLARED_IN_ENV_FILE)) {
                // The library prefers the process's own environment; here that is merged on top anyway.
                entries.put(entry.getKey(), entry.getValue());
            }
        } catch (DotenvException e) {
            throw new SettingsProblem(List.of(directory.resolve(".env") + " cannot be read: " + e.getMessage()));
        }
        return entries;
    }

    /**
     * Root's is where services keep their state, which the unprivileged processes of the sandboxes can reach; a home
     * directory may be closed to them.
     */
    private static Path defaultHome() {
        return isRoot() ? Path.of("/var/lib/sandglass") : Path.of(System.getProperty("user.home"), ".sandglass");
    }

    static boolean isRoot() {
        return "root".equals(System.getProperty("user.name"));
    }

    public Optional<String> find(String name) {
        return Optional.ofNullable(variables.get(name));
    }

    public boolean isDefaultHome() {
        return home().path().equals(defaultHome());
    }

    public Home home() {
        return new Home(
                Path.of(find("SANDGLASS_HOME").orElseThrow()).toAbsolutePath().normalize());
    }

    /** CP_LISTEN_ADDR. */
    public InetSocketAddress listen() {
        String text = find("CP_LISTEN_ADDR").orElse(DEFAULT_LISTEN);
        int colon = text.lastIndexOf(':');
        try {
            int port = Integer.parseInt(text.substring(colon + 1));
            String host = text.substring(0, Math.max(0, colon)).replaceAll("^\\[|]$", "");
            return host.isEmpty() ? new InetSocketAddress(port) : new InetSocketAddress(host, port);
        } catch (IllegalArgumentException e) {
            throw new SettingsProblem(List.of("CP_LISTEN_ADDR is not an address like " + DEFAULT_LISTEN + "."));
        }
    }

    /** Where the API is and the key for it. */
    public Access access() {
        Optional<Access> local = home().readAccess();
        URI url = find("SANDGLASS_URL")
                .map(Settings::webAddress)
                .or(() -> local.map(Access::url))
                .orElseGet(() -> URI.create("http://" + find("CP_LISTEN_ADDR").orElse(DEFAULT_LISTEN)));
        String key = find("SANDGLASS_API_KEY")
                // The local key is for the local server: no other one gets to see it.
                .or(() -> local.filter(access -> access.url().equals(new Access(url, "").url()))
                        .map(Access::apiKey))
                .orElseThrow(() -> new SettingsProblem(List.of(missingKey())));
        return new Access(url, key);
    }

    private String missingKey() {
        if (find("SANDGLASS_URL").isPresent()) {
            return "SANDGLASS_API_KEY is not set. It holds the API key for the server that SANDGLASS_URL names.";
        }
        if (home().accessIsUnreadable()) {
            return "The local key in " + home().path()
                    + " belongs to another user. Use sudo, or set SANDGLASS_API_KEY.";
        }
        return "No API key was found in " + home().path() + ". Start a server with `" + (isRoot() ? "" : "sudo ")
                + "./sandglass up`, or set SANDGLASS_URL and SANDGLASS_API_KEY.";
    }

    private static URI webAddress(String text) {
        try {
            URI uri = URI.create(text);
            if (uri.getHost() != null && List.of("http", "https").contains(String.valueOf(uri.getScheme()))) {
                return uri;
            }
        } catch (IllegalArgumentException e) {
            // said below
        }
        throw new SettingsProblem(List.of("SANDGLASS_URL is not an address like http://127.0.0.1:8000."));
    }
}
