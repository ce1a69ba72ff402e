package dev.sandglass.control.http;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.PlatformException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.time.Duration;
import org.junit.jupiter.api.Test;

final class ArrivingBodyTest {
    /** A byte at a time, each after a while. */
    private static InputStream trickle(int bytes) {
        return new InputStream() {
            private int left = bytes;

            @Override
            public int read() {
                throw new UnsupportedOperationException();
            }

            @Override
            public int read(byte[] target, int offset, int length) throws IOException {
                try {
                    Thread.sleep(5);
                } catch (InterruptedException e) {
                    throw new IOException(e);
                }
                return left-- > 0 ? 1 : -1;
            }
        };
    }

    @Test
    void aBodyThatTricklesIsGivenUp() {
        InputStream body = new ArrivingBody(trickle(1000), Duration.ofMillis(50), 0, Long.MAX_VALUE);
        assertThatThrownBy(body::readAllBytes)
                .isInstanceOf(PlatformException.class)
                .hasMessageContaining("did not arrive in time");
    }

    @Test
    void anUploadAtItsPaceMayTakeLonger() throws IOException {
        InputStream body = new ArrivingBody(trickle(40), Duration.ofMillis(50), 1, Long.MAX_VALUE);
        assertThat(body.readAllBytes()).hasSize(40);
    }

    @Test
    void timeThatNobodyWaitsForItDoesNotCount() throws Exception {
        InputStream body =
                new ArrivingBody(new ByteArrayInputStream(new byte[3]), Duration.ofMillis(20), 0, Long.MAX_VALUE);
        assertThat(body.read()).isZero();
        Thread.sleep(60);
        assertThat(body.read()).isZero();
    }

    @Test
    void whatIsTooLongIsNotReadToItsEnd() {
        InputStream body = new ArrivingBody(trickle(Integer.MAX_VALUE), Duration.ofMinutes(1), 0, 10);
        assertThatThrownBy(body::readAllBytes)
                .isInstanceOf(PlatformException.class)
                .hasMessageContaining("larger than 10 bytes");
    }
}
