package dev.sandglass.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class StatisticsTest {
    private static Statistics millis(long... values) {
        return new Statistics(LongStream.of(values).mapToObj(Duration::ofMillis).toList());
    }

    @Test
    void theMedianIsTheSampleInTheMiddleWhateverTheOrder() {
        assertThat(millis(30, 10, 20).median()).isEqualTo(Duration.ofMillis(20));
        assertThat(millis(40, 10, 20, 30).median()).isEqualTo(Duration.ofMillis(20));
        assertThat(millis(7).median()).isEqualTo(Duration.ofMillis(7));
    }

    @Test
    void percentilesAreNearestRank() {
        Statistics hundred = new Statistics(
                LongStream.rangeClosed(1, 100).mapToObj(Duration::ofMillis).toList());

        assertThat(hundred.percentile(0.99)).isEqualTo(Duration.ofMillis(99));
        assertThat(hundred.percentile(1)).isEqualTo(Duration.ofMillis(100));
        assertThat(hundred.percentile(0.001)).isEqualTo(Duration.ofMillis(1));
        assertThatThrownBy(() -> hundred.percentile(0)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> hundred.percentile(1.1)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void theTailIsKnownFromAHundredSamplesOn() {
        List<Duration> many =
                LongStream.range(0, 99).mapToObj(Duration::ofMillis).toList();

        assertThat(new Statistics(many).knowsTail()).isFalse();
        assertThat(new Statistics(LongStream.range(0, 100)
                                .mapToObj(Duration::ofMillis)
                                .toList())
                        .knowsTail())
                .isTrue();
    }

    @Test
    void extremesAndMeanAreThoseOfAllSamples() {
        Statistics some = millis(30, 10, 50);

        assertThat(some.least()).isEqualTo(Duration.ofMillis(10));
        assertThat(some.greatest()).isEqualTo(Duration.ofMillis(50));
        assertThat(some.mean()).isEqualTo(Duration.ofMillis(30));
    }

    @Test
    void oneSeriesIsComparedWithAnotherByTheirMedians() {
        assertThat(millis(10, 20, 900).timesFasterThan(millis(100, 160, 170))).isEqualTo(8.0);
    }

    @Test
    void noSamplesAreNoStatistics() {
        assertThatThrownBy(() -> new Statistics(List.of())).isInstanceOf(IllegalArgumentException.class);
        assertThat(new Samples().statistics(Subject.CREATE)).isEmpty();
    }
}
