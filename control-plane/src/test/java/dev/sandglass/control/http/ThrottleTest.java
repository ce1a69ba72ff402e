package dev.sandglass.control.http;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.sandglass.contract.Id.ApiKeyId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.Id.UserId;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

final class ThrottleTest {
    private static final Duration HOUR = Duration.ofHours(1); // what a test takes brings nothing back

    private static int retryAfter(Buckets buckets, String name) {
        Refusal refusal = catchThrowableOfType(Refusal.class, () -> buckets.take(name));
        assertThat(refusal).isNotNull();
        return Integer.parseInt(String.valueOf(refusal.headers().get("Retry-After")));
    }

    @Test
    void whoTakesTooMuchIsToldWhenThereIsMore() {
        Buckets buckets = new Buckets(4, HOUR, "Too much.");
        for (int i = 0; i < 4; i++) {
            buckets.take("a");
        }
        assertThat(retryAfter(buckets, "a")).isBetween(800, 900); // a quarter of the hour
        assertThatCode(() -> buckets.take("b")).doesNotThrowAnyException();
    }

    @Test
    void afterTheTimeToldThereIsOneAgain() throws InterruptedException {
        Buckets buckets = new Buckets(2, Duration.ofSeconds(2), "Too much.");
        buckets.take("a");
        buckets.take("a");
        int seconds = retryAfter(buckets, "a");
        assertThat(seconds).isEqualTo(1);
        Thread.sleep(seconds * 1000L);
        assertThatCode(() -> buckets.take("a")).doesNotThrowAnyException();
    }

    @Test
    void aFloodOfNamesIsForgotten() {
        Buckets buckets = new Buckets(1, HOUR, "Too much.");
        for (int i = 0; i < 300_000; i++) {
            buckets.take("198.51.100." + i);
        }
        assertThat(buckets.remembered()).isLessThanOrEqualTo(50_000);
    }

    @Test
    void aTeamsCredentialsCountTogetherAndEachByItself() {
        Throttle throttle = new Throttle(new RequestLimits(1_000_000, 2, 1_000_000, 100));
        TeamId team = TeamId.random();
        throttle.begin(new Caller.ByKey(ApiKeyId.random(), team)).close();
        throttle.begin(new Caller.ByUser(UserId.random(), team, "a@example.org"))
                .close();
        List<Throwable> refused = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            refuse(throttle, new Caller.ByKey(ApiKeyId.random(), team), refused);
        }
        assertThat(refused)
                .isNotEmpty()
                .allSatisfy(failure -> assertThat(failure).hasMessageContaining("of one team (at most 2 a second)"));

        Throttle single = new Throttle(new RequestLimits(2, 1_000_000, 1_000_000, 100));
        Caller.ByKey key = new Caller.ByKey(ApiKeyId.random(), team);
        List<Throwable> refusedKey = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            refuse(single, key, refusedKey);
        }
        assertThat(refusedKey)
                .isNotEmpty()
                .allSatisfy(failure -> assertThat(failure).hasMessageContaining("with one credential"));
        single.begin(new Caller.ByKey(ApiKeyId.random(), team)).close();
    }

    private static void refuse(Throttle throttle, Caller caller, List<Throwable> refused) {
        try {
            throttle.begin(caller).close();
        } catch (Refusal e) {
            refused.add(e.failure());
        }
    }

    @Test
    void requestsUnderWayAreCountedUntilTheyEnd() {
        Throttle throttle = new Throttle(new RequestLimits(1000, 1000, 1000, 2));
        Caller caller = new Caller.ByKey(ApiKeyId.random(), TeamId.random());
        Throttle.Turn first = throttle.begin(caller);
        Throttle.Turn second = throttle.begin(caller);
        for (int i = 0; i < 3; i++) { // a refusal takes no place
            assertThat(catchThrowableOfType(Refusal.class, () -> throttle.begin(caller))
                            .failure())
                    .hasMessageContaining("at most 2 at the same time");
        }
        throttle.begin(new Caller.ByKey(ApiKeyId.random(), TeamId.random())).close();
        second.close();
        throttle.begin(caller).close();
        first.close();
    }
}
