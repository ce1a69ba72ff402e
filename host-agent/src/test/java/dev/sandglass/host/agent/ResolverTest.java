package dev.sandglass.host.agent;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class ResolverTest {
    @TempDir
    Path directory;

    private List<Path> files(String content) throws IOException {
        Path file = directory.resolve("resolv.conf");
        Files.writeString(file, content);
        return List.of(directory.resolve("missing"), file);
    }

    @Test
    void theFirstServerThatIsNotOnLoopbackIsTaken() throws IOException {
        List<Path> files =
                files("# c\nnameserver 127.0.0.53\nnameserver ::1\n nameserver 192.0.2.7 # x\nnameserver 192.0.2.8\n");
        assertThat(Resolver.find(files))
                .hasValueSatisfying(
                        address -> assertThat(address.getHostAddress()).isEqualTo("192.0.2.7"));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "nameserver",
                "nameserver 300.1.1.1",
                "nameserver 1.2.3",
                "nameserver 0.0.0.0",
                "nameserver fe80::1",
                "nameserver example.org",
                "#nameserver 192.0.2.1",
                "nameservers 192.0.2.1",
                "search example.org"
            })
    void nothingElseIs(String content) throws IOException {
        assertThat(Resolver.find(files(content))).isEmpty();
    }
}
