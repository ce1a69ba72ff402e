package dev.sandglass.control.file;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.control.file.ByteRange.Wanted;
import java.util.Optional;
import org.junit.jupiter.api.Test;

final class ByteRangeTest {
    private static Wanted of(String header) {
        return ByteRange.of(Optional.of(header), 10);
    }

    private static Wanted part(long first, long last) {
        return new Wanted.Part(new ByteRange(first, last));
    }

    @Test
    void rangesAreReadAsTheRfcHasThem() {
        assertThat(of("bytes=0-0")).isEqualTo(part(0, 0));
        assertThat(of("bytes=2-5")).isEqualTo(part(2, 5));
        assertThat(of("bytes=2-500")).isEqualTo(part(2, 9));
        assertThat(of("bytes=9-")).isEqualTo(part(9, 9));
        assertThat(of("bytes=-3")).isEqualTo(part(7, 9));
        assertThat(of("bytes=-30")).isEqualTo(part(0, 9));
        assertThat(of("bytes=10-")).isEqualTo(new Wanted.Outside());
        assertThat(of("bytes=-0")).isEqualTo(new Wanted.Outside());
        assertThat(of("Bytes= 0-0 ")).isEqualTo(part(0, 0));
        assertThat(of("bytes=00000000000000000000003-" + "9".repeat(30))).isEqualTo(part(3, 9));
        assertThat(of("bytes=" + "9".repeat(30) + "-")).isEqualTo(new Wanted.Outside());
        for (String ignored : new String[] {"bytes=0-1,3-4", "bytes=-1, 0-0 ,", "lines=1-2", "0-1", ""}) {
            assertThat(of(ignored)).as(ignored).isEqualTo(new Wanted.All());
        }
        for (String bad : new String[] {
            "bytes=5-2",
            "bytes=-",
            "bytes=",
            "bytes=x-y",
            "bytes=1",
            "bytes=1-2-3",
            "bytes=0-1,x",
            "bytes=--1",
            "bytes=,"
        }) {
            assertThat(of(bad)).as(bad).isEqualTo(new Wanted.Outside());
        }
        assertThat(ByteRange.of(Optional.empty(), 10)).isEqualTo(new Wanted.All());
        assertThat(ByteRange.of(Optional.of("bytes=0-"), 0)).isEqualTo(new Wanted.Outside());
        assertThat(new ByteRange(2, 5).length()).isEqualTo(4);
    }
}
