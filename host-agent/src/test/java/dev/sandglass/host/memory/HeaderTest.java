package dev.sandglass.host.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class HeaderTest {
    static final BuildId U = BuildId.parse("00112233-4455-6677-8899-aabbccddeeff");
    static final BuildId V = BuildId.parse("10112233-4455-6677-8899-aabbccddeeff");

    private static final String GOLDEN_A = "0100000000000000001000000000000000400000000000000000000000000000"
            + "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
            + "0000000000000000001000000000000000112233445566778899aabbccddeeff0000000000000000"
            + "00100000000000000010000000000000000000000000000000000000000000000000000000000000"
            + "0020000000000000002000000000000000112233445566778899aabbccddeeff0010000000000000";

    private static final String GOLDEN_B = "0100000000000000001000000000000000400000000000000100000000000000"
            + "10112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
            + "0000000000000000001000000000000000112233445566778899aabbccddeeff0000000000000000"
            + "0010000000000000002000000000000010112233445566778899aabbccddeeff0000000000000000"
            + "0030000000000000001000000000000000112233445566778899aabbccddeeff0020000000000000";

    private static final Header A = new Header(
            16384,
            0,
            U,
            U,
            List.of(
                    new Entry(0, 4096, U, 0),
                    new Entry(4096, 4096, BuildId.ZERO_FILL, 0),
                    new Entry(8192, 8192, U, 4096)));

    private static final Header B = new Header(
            16384,
            1,
            V,
            U,
            List.of(new Entry(0, 4096, U, 0), new Entry(4096, 8192, V, 0), new Entry(12288, 4096, U, 8192)));

    @TempDir
    Path directory;

    @Test
    void theGoldenVectorsAreEncodedAndDecodedToTheLastByte() throws MalformedHeader {
        assertThat(HexFormat.of().formatHex(A.encode())).isEqualTo(GOLDEN_A);
        assertThat(HexFormat.of().formatHex(B.encode())).isEqualTo(GOLDEN_B);
        assertThat(Header.decode(HexFormat.of().parseHex(GOLDEN_A))).isEqualTo(A);
        assertThat(Header.decode(HexFormat.of().parseHex(GOLDEN_B))).isEqualTo(B);
    }

    @Test
    void thePagesOfTheGoldenVectorsBecomeTheirEntries() throws Exception {
        try (DiffWriter data = new DiffWriter(directory.resolve("a"), U, 16384, DiffWriter.Cache.AVOID);
                DiffWriter later = new DiffWriter(directory.resolve("b"), V, 16384, DiffWriter.Cache.KEEP)) {
            data.append(0, page(1));
            data.append(1, page(0));
            data.append(2, page(2));
            data.append(3, page(3));
            data.flush();
            assertThat(data.entries()).isEqualTo(A.entries());
            assertThat(directory.resolve("a")).hasSize(3 * 4096);
            later.append(1, page(4));
            later.append(2, page(5));
            later.flush();
            assertThat(A.next(V, later.entries())).isEqualTo(B);
        }
    }

    private static ByteBuffer page(int fill) {
        byte[] bytes = new byte[Header.BLOCK_BYTES];
        Arrays.fill(bytes, (byte) fill);
        return ByteBuffer.wrap(bytes);
    }

    @Test
    void aPrefixAloneMeansTheWholeRangeAtStorageZero() throws MalformedHeader {
        Header decoded = Header.decode(Arrays.copyOf(A.encode(), 64));
        assertThat(decoded).isEqualTo(Header.flat(U, 16384));
        assertThat(Header.decode(Arrays.copyOf(B.encode(), 64)).entries()).containsExactly(new Entry(0, 16384, V, 0));
        assertThat(Header.decode(decoded.encode())).isEqualTo(decoded);
    }

    @ParameterizedTest
    @CsvSource({
        "short prefix, 63, , , of at least 64",
        "nothing, 0, , , of at least 64",
        "partial entry, 183, , , part of an entry",
        "partial first entry, 65, , , part of an entry",
        "missing last entry, 144, , , cover 8192 of 16384",
        "version, 184, 0, 2, version is 2",
        "block size, 184, 8, 8192, block size is 8192",
        "no memory, 184, 16, 0, memory size",
        "memory beyond the entries, 184, 16, 20480, cover 16384 of 20480",
        "memory short of the entries, 184, 16, 12288, cover 16384 of 12288",
        "memory of half a page, 184, 16, 16385, memory size",
        "memory beyond 63 bits, 184, 16, -4096, memory size",
        "generation beyond 63 bits, 184, 24, -1, generation 18446744073709551615",
        "generation of a base, 184, 24, 1, generation 1 has build",
        "build of a base, 184, 32, 5, generation 0 has build",
        "unaligned length, 184, 72, 4097, length is not a multiple",
        "empty entry, 184, 72, 0, is empty",
        "length beyond 63 bits, 184, 72, -4096, length is not a multiple",
        "unaligned storage, 184, 96, 1, storage offset is not a multiple",
        "storage overflow, 184, 96, 9223372036854771712, beyond what can be addressed",
        "unaligned offset, 184, 64, 1, offset is not a multiple",
        "first entry late, 184, 64, 4096, begins at 4096 where one at 0",
        "overlap, 184, 104, 0, begins at 0 where one at 4096",
        "gap, 184, 104, 8192, begins at 8192 where one at 4096",
        "unsorted, 184, 104, 12288, begins at 12288 where one at 4096",
        "storage of zero fill, 184, 136, 4096, zero-fill entry",
        "offset overflow, 184, 144, 9223372036854771712, beyond what can be addressed",
    })
    void malformedBytesAreRefused(String what, int bytes, Integer at, Long value, String message) {
        byte[] encoded = Arrays.copyOf(A.encode(), bytes);
        if (at != null) {
            ByteBuffer.wrap(encoded).order(ByteOrder.LITTLE_ENDIAN).putLong(at, value);
        }
        assertThatThrownBy(() -> Header.decode(encoded))
                .as(what)
                .isInstanceOf(MalformedHeader.class)
                .hasMessageContaining(message);
    }

    @Test
    void aNilBuildIsRefused() {
        byte[] encoded = A.encode();
        Arrays.fill(encoded, 32, 64, (byte) 0);
        assertThatThrownBy(() -> Header.decode(encoded)).hasMessage("a build id is nil");
    }

    @Test
    void anyBytesAreDecodedOrRefusedAndWhatIsDecodedEncodesToTheSame() {
        java.util.Random random = new java.util.Random(7);
        for (int i = 0; i < 20_000; i++) {
            byte[] bytes = (random.nextBoolean() ? A : B).encode();
            for (int changes = random.nextInt(3); changes >= 0; changes--) {
                bytes[random.nextInt(bytes.length)] ^= (byte) (1 << random.nextInt(8));
            }
            try {
                assertThat(Header.decode(bytes).encode()).as("case " + i).isEqualTo(bytes);
            } catch (MalformedHeader e) {
                assertThat(e).hasMessageMatching("(?s).+");
            }
        }
    }

    @Test
    void aLookupTellsWhereAndForHowLong() {
        assertThat(B.lookup(0)).isEqualTo(new Header.Run(U, 0, 4096));
        assertThat(B.lookup(8192)).isEqualTo(new Header.Run(V, 4096, 4096));
        assertThat(B.lookup(4097)).isEqualTo(new Header.Run(V, 1, 8191));
        assertThat(B.lookup(16383)).isEqualTo(new Header.Run(U, 12287, 1));
        assertThat(A.lookup(5000)).isEqualTo(new Header.Run(BuildId.ZERO_FILL, 0, 3192));
        assertThatThrownBy(() -> A.lookup(16384)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> A.lookup(-1)).isInstanceOf(IndexOutOfBoundsException.class);
    }
}
