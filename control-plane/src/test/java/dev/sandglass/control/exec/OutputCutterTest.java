package dev.sandglass.control.exec;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.host.v1.OutputStream;
import dev.sandglass.control.exec.OutputCutter.Piece;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

final class OutputCutterTest {
    private static byte[] bytes(Piece piece) {
        return piece.base64()
                ? Base64.getDecoder().decode(piece.data())
                : piece.data().getBytes(StandardCharsets.UTF_8);
    }

    @Test
    void everyCutOfATextGivesTheTextBack() {
        String text = "aé€😀\u0000z\ud7ff\ue000";
        byte[] all = text.getBytes(StandardCharsets.UTF_8);
        for (int first = 0; first <= all.length; first++) {
            for (int second = first; second <= all.length; second++) {
                OutputCutter cutter = new OutputCutter();
                List<Piece> pieces = new ArrayList<>();
                pieces.addAll(cutter.chunk(OutputStream.STDOUT, first, Arrays.copyOfRange(all, 0, first)));
                pieces.addAll(cutter.chunk(OutputStream.STDOUT, second, Arrays.copyOfRange(all, first, second)));
                pieces.addAll(
                        cutter.chunk(OutputStream.STDOUT, all.length, Arrays.copyOfRange(all, second, all.length)));
                assertThat(cutter.end()).isEmpty();
                assertThat(pieces)
                        .noneMatch(Piece::base64)
                        .noneMatch(piece -> piece.data().isEmpty());
                assertThat(String.join("", pieces.stream().map(Piece::data).toList()))
                        .isEqualTo(text);
            }
        }
    }

    @Test
    void bytesThatAreNoTextAreBase64AndExact() {
        for (byte[] data : List.of(
                new byte[] {(byte) 0xff},
                new byte[] {'a', (byte) 0xc0, (byte) 0x80},
                new byte[] {(byte) 0xed, (byte) 0xa0},
                new byte[] {(byte) 0xf4, (byte) 0x90},
                new byte[] {(byte) 0x80, 'x'})) {
            List<Piece> pieces = new OutputCutter().chunk(OutputStream.PTY, data.length, data);
            assertThat(pieces).singleElement().satisfies(piece -> {
                assertThat(piece.base64()).isTrue();
                assertThat(bytes(piece)).isEqualTo(data);
                assertThat(piece.seq()).isEqualTo(data.length);
            });
        }
    }

    @Test
    void aHeldBackBeginningGoesOutBeforeAnotherStreamDoes() {
        OutputCutter cutter = new OutputCutter();
        assertThat(cutter.chunk(OutputStream.STDOUT, 2, new byte[] {'a', (byte) 0xe2}))
                .containsExactly(new Piece(OutputStream.STDOUT, 1, "a", false));
        assertThat(cutter.chunk(OutputStream.STDERR, 3, new byte[] {'e'}))
                .containsExactly(
                        new Piece(OutputStream.STDOUT, 2, "4g==", true), new Piece(OutputStream.STDERR, 3, "e", false));
    }

    @Test
    void whatIsHeldBackAtTheEndIsNotLost() {
        OutputCutter cutter = new OutputCutter();
        assertThat(cutter.chunk(OutputStream.STDOUT, 3, new byte[] {(byte) 0xf0, (byte) 0x9f, (byte) 0x98}))
                .isEmpty();
        assertThat(cutter.end()).contains(new Piece(OutputStream.STDOUT, 3, "8J+Y", true));
        assertThat(cutter.end()).isEmpty();
    }

    /** Whoever stops after any piece and attaches with its number gets the rest, and nothing twice. */
    @Test
    void afterAnyPieceExactlyTheRestIsMissing() {
        for (int seed = 0; seed < 300; seed++) {
            Random random = new Random(seed);
            byte[] all = randomOutput(random);
            OutputStream[] streamOf = new OutputStream[all.length];
            List<Piece> pieces = new ArrayList<>();
            OutputCutter cutter = new OutputCutter();
            for (int at = 0; at < all.length; ) {
                int end = Math.min(all.length, at + 1 + random.nextInt(6));
                OutputStream stream = random.nextInt(4) == 0 ? OutputStream.STDERR : OutputStream.STDOUT;
                Arrays.fill(streamOf, at, end, stream);
                pieces.addAll(cutter.chunk(stream, end, Arrays.copyOfRange(all, at, end)));
                at = end;
            }
            cutter.end().ifPresent(pieces::add);
            ByteArrayOutputStream seen = new ByteArrayOutputStream();
            for (Piece piece : pieces) {
                seen.writeBytes(bytes(piece));
                assertThat(piece.seq()).as("seed %d", seed).isEqualTo(seen.size());
                assertThat(piece.stream()).isEqualTo(streamOf[(int) piece.seq() - 1]);
            }
            assertThat(seen.toByteArray()).as("seed %d", seed).isEqualTo(all);
        }
    }

    private static byte[] randomOutput(Random random) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        List<String> characters = List.of("a", "\n", "é", "€", "😀");
        for (int i = 0; i < 40; i++) {
            if (random.nextInt(6) == 0) {
                out.write(random.nextInt(256));
            } else {
                out.writeBytes(characters.get(random.nextInt(5)).getBytes(StandardCharsets.UTF_8));
            }
        }
        return out.toByteArray();
    }
}
