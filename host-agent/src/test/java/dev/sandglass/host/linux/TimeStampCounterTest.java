package dev.sandglass.host.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import org.junit.jupiter.api.Test;

final class TimeStampCounterTest {
    @Test
    void itsRateIsMeasuredWithinAFewPartsInAHundredThousand() {
        long first = TimeStampCounter.measureKhz();
        assertThat(first).isBetween(500_000L, 10_000_000L);
        assertThat(TimeStampCounter.measureKhz()).isCloseTo(first, within(first / 20_000));
    }
}
