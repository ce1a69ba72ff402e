package dev.sandglass.host.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class DeadlineTest {
    @Test
    void whatIsLeftIsNeverNegative() {
        Deadline past = Deadline.after(Duration.ofSeconds(-1));
        assertThat(past.remaining()).isZero();
        assertThat(past.expired()).isTrue();
    }

    @Test
    void anExpiredOneNamesWhatWasLate() {
        Deadline.after(Duration.ofMinutes(1)).check("early");
        assertThatThrownBy(() -> Deadline.after(Duration.ZERO).check("boot of x"))
                .isInstanceOf(DeadlineExceeded.class)
                .hasMessageContaining("boot of x");
    }

    @Test
    void theEarlierOfTwoCounts() {
        Deadline minute = Deadline.after(Duration.ofMinutes(1));
        assertThat(minute.orAfter(Duration.ofHours(1))).isEqualTo(minute);
        assertThat(minute.orAfter(Duration.ofSeconds(1)).remaining()).isLessThanOrEqualTo(Duration.ofSeconds(1));
    }
}
