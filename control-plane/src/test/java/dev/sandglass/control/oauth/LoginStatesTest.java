package dev.sandglass.control.oauth;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.Base64;
import java.util.stream.Stream;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

final class LoginStatesTest {
    private static final String SECRET = "0123456789012345678901234567890123456789";
    private static final Instant NOW = Instant.parse("2026-01-01T00:00:00Z");

    private static LoginStates at(Instant time, String secret) {
        return new LoginStates(secret, Clock.fixed(time, ZoneOffset.UTC));
    }

    private final LoginStates states = at(NOW, SECRET);
    private final LoginStates.Begun begun = states.begin("github");

    @Test
    void whatHasBegunCanBeFinishedByWhoeverHasTheSecretForTenMinutes() {
        for (int seconds : new int[] {0, 1, 599}) {
            assertThat(at(NOW.plusSeconds(seconds), SECRET).verifier(begun.cookie(), "github", begun.state()))
                    .hasValueSatisfying(verifier -> {
                        assertThat(verifier).matches("[A-Za-z0-9_-]{43}");
                        assertThat(LoginStates.challenge(verifier)).isEqualTo(begun.challenge());
                    });
        }
        assertThat(at(NOW.plusSeconds(600), SECRET).verifier(begun.cookie(), "github", begun.state()))
                .isEmpty();
    }

    @Test
    void theChallengeIsTheOneOfTheStandard() {
        assertThat(LoginStates.challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")) // RFC 7636, appendix B
                .isEqualTo("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    @Test
    void everyLoginHasItsOwnStateAndTheVerifierIsNotInTheCookie() {
        LoginStates.Begun other = states.begin("github");
        assertThat(other.state()).isNotEqualTo(begun.state()).matches("[A-Za-z0-9_-]{43}");
        assertThat(other.challenge()).isNotEqualTo(begun.challenge());
        assertThat(begun.cookie())
                .matches("[A-Za-z0-9_-]{43}\\.github\\.[0-9]{10}\\.[A-Za-z0-9_-]{43}")
                .doesNotContain(
                        states.verifier(begun.cookie(), "github", begun.state()).orElseThrow());
    }

    private static String signed(String content, byte[] key) throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        byte[] bytes = mac.doFinal(content.getBytes(StandardCharsets.UTF_8));
        return content + "." + Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
    }

    @TestFactory
    Stream<DynamicTest> noOtherCookieIsGood() throws Exception {
        String[] parts = begun.cookie().split("\\.", -1);
        String content = parts[0] + "." + parts[1] + "." + parts[2];
        LoginStates.Begun google = states.begin("google");
        return Stream.of(
                        "",
                        ".",
                        "...",
                        "....",
                        "x",
                        begun.cookie() + ".",
                        "." + begun.cookie(),
                        begun.cookie() + "=",
                        begun.cookie() + "A",
                        begun.cookie().substring(0, begun.cookie().length() - 1),
                        content,
                        content + ".",
                        content + "." + parts[3].toUpperCase(java.util.Locale.ROOT),
                        parts[0] + ".github." + (Long.parseLong(parts[2]) + 1) + "." + parts[3],
                        parts[0] + ".github.0" + parts[2] + "." + parts[3],
                        parts[0] + ".github.-1." + parts[3],
                        parts[0] + ".github.x." + parts[3],
                        parts[0] + ".github." + "9".repeat(40) + "." + parts[3],
                        "A" + begun.cookie().substring(1).replaceFirst("^.", "_"),
                        parts[0] + ".google." + parts[2] + "." + parts[3],
                        google.cookie(),
                        states.begin("github").cookie(),
                        at(NOW, SECRET + "x").begin("github").cookie(),
                        at(NOW.minusSeconds(601), SECRET).begin("github").cookie(),
                        signed(content, SECRET.getBytes(StandardCharsets.UTF_8)), // with the key of the tokens
                        signed(content, new byte[32]),
                        "é\u0000".repeat(1000))
                .map(cookie -> DynamicTest.dynamicTest(
                        cookie.isEmpty() ? "nothing" : cookie.substring(0, Math.min(cookie.length(), 120)),
                        () -> assertThat(states.verifier(cookie, "github", begun.state()))
                                .isEmpty()));
    }

    @Test
    void everyChangedCharacterIsNoticed() {
        for (int i = 0; i < begun.cookie().length(); i++) {
            char c = begun.cookie().charAt(i);
            String changed = begun.cookie().substring(0, i)
                    + (c == 'a' ? 'b' : 'a')
                    + begun.cookie().substring(i + 1);
            assertThat(states.verifier(changed, "github", begun.state())).isEmpty();
        }
    }

    @Test
    void anotherStateOrProviderIsNotThisOne() {
        assertThat(states.verifier(begun.cookie(), "github", "")).isEmpty();
        assertThat(states.verifier(begun.cookie(), "github", begun.state() + "A"))
                .isEmpty();
        assertThat(states.verifier(
                        begun.cookie(), "github", states.begin("github").state()))
                .isEmpty();
        assertThat(states.verifier(begun.cookie(), "google", begun.state())).isEmpty();
        assertThat(states.verifier(states.begin("google").cookie(), "github", begun.state()))
                .isEmpty();
    }
}
