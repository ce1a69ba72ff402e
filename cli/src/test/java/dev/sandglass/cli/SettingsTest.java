package dev.sandglass.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.cli.client.Access;
import dev.sandglass.cli.server.Home;
import dev.sandglass.cli.server.ServerSettings;
import dev.sandglass.cli.server.Settings;
import dev.sandglass.cli.server.SettingsProblem;
import dev.sandglass.control.ConfigurationKeys;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class SettingsTest {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    @Test
    void theRealEnvironmentWinsOverDotEnv() throws Exception {
        Files.writeString(directory.resolve(".env"), "CP_LISTEN_ADDR=127.0.0.1:1\nSANDGLASS_DNS=1.1.1.1\n# a remark\n");
        Settings settings = Settings.load(Map.of("CP_LISTEN_ADDR", "127.0.0.1:2"), List.of(directory));
        assertThat(settings.find("CP_LISTEN_ADDR")).contains("127.0.0.1:2");
        assertThat(settings.find("SANDGLASS_DNS")).contains("1.1.1.1");
    }

    @Test
    void anUnreadableDotEnvIsNamed() throws Exception {
        Files.writeString(directory.resolve(".env"), "this is no setting\n");
        assertThatThrownBy(() -> Settings.load(Map.of(), List.of(directory)))
                .isInstanceOf(SettingsProblem.class)
                .hasMessageContaining(".env");
    }

    @Test
    void theLocalKeyIsForTheOwnerOnlyAndNeverForAnotherServer() throws Exception {
        Home home = new Home(directory);
        home.writeAccess(new Access(URI.create("http://127.0.0.1:8000"), "sgk_1"));
        Path file = directory.resolve("client.json");
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
                .isEqualTo("rw-------");
        Map<String, String> local = Map.of("SANDGLASS_HOME", directory.toString());
        assertThat(Settings.load(local, List.of()).access().apiKey()).isEqualTo("sgk_1");
        Map<String, String> other =
                Map.of("SANDGLASS_HOME", directory.toString(), "SANDGLASS_URL", "https://elsewhere.example");
        assertThatThrownBy(() -> Settings.load(other, List.of()).access())
                .isInstanceOf(SettingsProblem.class)
                .hasMessageContaining("SANDGLASS_API_KEY is not set");
    }

    @Test
    void envExampleHasEverySettingAndNoOther() throws Exception {
        TreeSet<String> documented = new TreeSet<>();
        var matcher =
                Pattern.compile("(?m)^#?([A-Z][A-Z0-9_]+)=").matcher(Files.readString(Path.of("..", ".env.example")));
        while (matcher.find()) {
            documented.add(matcher.group(1));
        }
        List<String> known = ServerSettings.keys().keys().stream()
                .map(ConfigurationKeys.Key::name)
                .toList();
        assertThat(documented).containsAll(known);
        assertThat(documented.stream().filter(name -> name.startsWith("SANDGLASS_")))
                .isSubsetOf(known);
    }
}
