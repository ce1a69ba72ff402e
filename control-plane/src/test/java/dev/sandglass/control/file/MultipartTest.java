package dev.sandglass.control.file;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.PlatformException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@SuppressWarnings("StringConcatToTextBlock") // lines end with CRLF
final class MultipartTest {
    private static final Optional<String> TYPE = Optional.of("multipart/form-data; boundary=XX");

    /** Gives at most {@code piece} bytes at a time. */
    private static InputStream trickle(byte[] bytes, int piece) {
        return new ByteArrayInputStream(bytes) {
            @Override
            public synchronized int read(byte[] target, int offset, int length) {
                return super.read(target, offset, Math.min(length, piece));
            }
        };
    }

    private static Map<String, String> parts(byte[] body, int piece) throws IOException {
        Multipart multipart = Multipart.of(TYPE, trickle(body, piece));
        Map<String, String> found = new LinkedHashMap<>();
        for (Optional<Multipart.Part> part = multipart.next(); part.isPresent(); part = multipart.next()) {
            found.put(
                    part.get().name()
                            + part.get().fileName().map(name -> "=" + name).orElse(""),
                    new String(part.get().content().readAllBytes(), StandardCharsets.ISO_8859_1));
        }
        return found;
    }

    private static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.ISO_8859_1);
    }

    @Test
    void whateverTheBytesArriveInThePartsAreTheSame() throws IOException {
        byte[] body = ascii("preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"path\"\r\n\r\n/a\r\n--X\r\n"
                + "\r\n--XX \r\ncontent-disposition: form-data; name=file; filename=\"q\\\"uote.bin\"\r\nX-Other: 1\r\n\r\n"
                + "\r\r\n--X\r\n--\r\n--XX--\r\nepilogue");
        for (int piece = 1; piece < body.length; piece++) {
            assertThat(parts(body, piece))
                    .containsExactly(
                            Map.entry("path", "/a\r\n--X\r\n"), Map.entry("file=q\"uote.bin", "\r\r\n--X\r\n--"));
        }
    }

    @Test
    void aPartThatIsNotReadIsSkipped() throws IOException {
        byte[] body = ascii("--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n" + "x".repeat(500_000)
                + "\r\n--XX\r\nContent-Disposition: form-data; name=b\r\n\r\nB\r\n--XX--");
        Multipart multipart = Multipart.of(TYPE, new ByteArrayInputStream(body));
        assertThat(multipart.next()).map(Multipart.Part::name).contains("a");
        assertThat(multipart.next())
                .hasValueSatisfying(part -> assertThat(part.content()).hasContent("B"));
        assertThat(multipart.next()).isEmpty();
    }

    @Test
    void randomContentComesThroughUnchanged() throws IOException {
        for (int seed = 0; seed < 200; seed++) {
            Random random = new Random(seed);
            byte[] content = new byte[random.nextInt(300_000)];
            for (int i = 0; i < content.length; i++) {
                content[i] = (byte) "\r\n-Xab".charAt(random.nextInt(6));
            }
            String text = new String(content, StandardCharsets.ISO_8859_1).replace("\r\n--XX", "");
            byte[] body = ascii("--XX\r\nContent-Disposition: form-data; name=f\r\n\r\n" + text + "\r\n--XX--\r\n");
            assertThat(parts(body, 1 + random.nextInt(200_000))).containsEntry("f", text);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "--XX",
                "--XX\r\n",
                "--XX\r\nContent-Disposition: form-data; name=a\r\n",
                "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nhalf",
                "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nhalf\r\n--XX",
                "--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--",
                "--XX\r\nContent-Type: text/plain\r\n\r\nx\r\n--XX--",
                "--XXgarbage\r\n\r\n"
            })
    void aBrokenBodyIsAnError(String body) {
        assertThatThrownBy(() -> parts(ascii(body), 7)).isInstanceOf(PlatformException.class);
    }

    @Test
    void endlessHeadersAreAnError() {
        byte[] body = ascii("--XX\r\n" + "X-Header: y\r\n".repeat(100_000));
        assertThatThrownBy(() -> parts(body, 8192)).isInstanceOf(PlatformException.class);
        byte[] line = ascii("--XX\r\nX-Header: " + "y".repeat(1_000_000));
        assertThatThrownBy(() -> parts(line, 8192)).isInstanceOf(PlatformException.class);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "text/plain",
                "multipart/form-data",
                "multipart/mixed; boundary=XX",
                "multipart/form-data; boundary="
            })
    void anotherContentTypeIsAnError(String type) {
        assertThatThrownBy(() -> Multipart.of(Optional.of(type), InputStream.nullInputStream()))
                .isInstanceOf(PlatformException.class);
    }
}
