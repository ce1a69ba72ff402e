package dev.sandglass.control.account;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSSigner;
import com.nimbusds.jose.crypto.MACSigner;
import com.nimbusds.jose.crypto.RSASSASigner;
import com.nimbusds.jose.jwk.RSAKey;
import com.nimbusds.jose.jwk.gen.RSAKeyGenerator;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.PlainJWT;
import com.nimbusds.jwt.SignedJWT;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.Id.UserId;
import dev.sandglass.control.http.Caller;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.Base64;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Stream;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

final class TokensTest {
    private static final String SECRET = "0123456789".repeat(7); // long enough for HS512 too
    private static final Instant NOW = Instant.parse("2026-01-01T00:00:00Z");

    private final Tokens tokens = at(NOW);
    private final Caller.ByUser ada = new Caller.ByUser(UserId.random(), TeamId.random(), "ada@example.org");

    private static Tokens at(Instant time) {
        return new Tokens(SECRET, Clock.fixed(time, ZoneOffset.UTC));
    }

    private JWTClaimsSet.Builder claims() {
        return new JWTClaimsSet.Builder()
                .subject(ada.user().value())
                .claim("team_id", ada.team().value())
                .claim("email", ada.email())
                .issuer("sandglass")
                .issueTime(Date.from(NOW))
                .expirationTime(Date.from(NOW.plusSeconds(60)));
    }

    private static String signed(JWSHeader header, JWTClaimsSet claims, JWSSigner signer) throws Exception {
        SignedJWT token = new SignedJWT(header, claims);
        token.sign(signer);
        return token.serialize();
    }

    private static String hs256(JWTClaimsSet claims) throws Exception {
        return signed(new JWSHeader(JWSAlgorithm.HS256), claims, new MACSigner(SECRET));
    }

    @Test
    void aTokenIsGoodForSixHours() throws Exception {
        String token = tokens.issue(ada);
        assertThat(tokens.verify(token)).contains(ada);
        assertThat(at(NOW.plusSeconds(6 * 3600 - 1)).verify(token)).contains(ada);
        assertThat(at(NOW.plusSeconds(6 * 3600)).verify(token)).isEmpty();
        assertThat(tokens.verify(hs256(claims().build()))).contains(ada); // what the table below changes is good
    }

    @TestFactory
    Stream<DynamicTest> nothingElseIsAToken() throws Exception {
        RSAKey rsa = new RSAKeyGenerator(2048).generate();
        JWTClaimsSet good = claims().build();
        Map<String, String> bad = new LinkedHashMap<>();
        bad.put("HS384 with our secret", signed(new JWSHeader(JWSAlgorithm.HS384), good, new MACSigner(SECRET)));
        bad.put("HS512 with our secret", signed(new JWSHeader(JWSAlgorithm.HS512), good, new MACSigner(SECRET)));
        bad.put("another secret", signed(new JWSHeader(JWSAlgorithm.HS256), good, new MACSigner("x".repeat(32))));
        bad.put("an empty secret", signed(new JWSHeader(JWSAlgorithm.HS256), good, new MACSigner(new byte[32])));
        bad.put(
                "RS256 with a key that it brings along",
                signed(
                        new JWSHeader.Builder(JWSAlgorithm.RS256)
                                .jwk(rsa.toPublicJWK())
                                .build(),
                        good,
                        new RSASSASigner(rsa)));
        bad.put("alg none", new PlainJWT(good).serialize());
        String[] parts = hs256(good).split("\\.", -1);
        for (String header : new String[] {
            "{\"alg\":\"none\"}",
            "{\"alg\":\"None\"}",
            "{\"alg\":\"hs256\"}",
            "{\"alg\":\"HS512\"}",
            "{\"alg\":\"ES256\"}",
            "{\"alg\":null}",
            "{}",
            "[]",
            "",
            "{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}"
        }) {
            bad.put("header " + header, base64(header) + "." + parts[1] + "." + parts[2]);
            bad.put("header without a signature " + header, base64(header) + "." + parts[1] + ".");
        }
        bad.put("other claims", parts[0] + "." + base64(good.toString().replace("ada@", "eve@")) + "." + parts[2]);
        bad.put("no signature", parts[0] + "." + parts[1] + ".");
        bad.put("two parts", parts[0] + "." + parts[1]);
        bad.put("four parts", hs256(good) + ".x");
        bad.put("five parts", hs256(good) + ".x.x");
        bad.put("half a signature", hs256(good).substring(0, hs256(good).length() - 20));
        bad.put("expired", hs256(claims().expirationTime(Date.from(NOW)).build()));
        bad.put(
                "not yet valid",
                hs256(claims().notBeforeTime(Date.from(NOW.plusSeconds(61))).build()));
        bad.put(
                "issued in the future",
                hs256(claims().issueTime(Date.from(NOW.plusSeconds(61))).build()));
        bad.put("RS256, and our secret as if it were its public key", rs256WithOurSecret(parts[1]));
        bad.put(
                "large",
                hs256(claims().claim("x", "y".repeat(1 << 20)).issuer("other").build()));
        bad.put("without an end", hs256(claims().expirationTime(null).build()));
        bad.put("of another issuer", hs256(claims().issuer("other").build()));
        bad.put("without an issuer", hs256(claims().issuer(null).build()));
        bad.put("without a user", hs256(claims().subject(null).build()));
        bad.put("of a user that is none", hs256(claims().subject("root").build()));
        bad.put("without a team", hs256(claims().claim("team_id", null).build()));
        bad.put("of a team that is a number", hs256(claims().claim("team_id", 7).build()));
        bad.put(
                "a critical extension we do not know",
                signed(
                        new JWSHeader.Builder(JWSAlgorithm.HS256)
                                .criticalParams(java.util.Set.of("x"))
                                .customParam("x", 1)
                                .build(),
                        good,
                        new MACSigner(SECRET)));
        return bad.entrySet().stream()
                .map(row -> DynamicTest.dynamicTest(
                        row.getKey(),
                        () -> assertThat(tokens.verify(row.getValue())).isEmpty()));
    }

    /** What a verifier falls for that takes whatever key it has for the algorithm that the token names. */
    private static String rs256WithOurSecret(String claims) throws Exception {
        String content = base64("{\"alg\":\"RS256\"}") + "." + claims;
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(SECRET.getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
        byte[] signature = mac.doFinal(content.getBytes(StandardCharsets.UTF_8));
        return content + "." + Base64.getUrlEncoder().withoutPadding().encodeToString(signature);
    }

    @Test
    void clocksOfControlPlanesMayBeAMinuteApart() throws Exception {
        assertThat(tokens.verify(
                        hs256(claims().issueTime(Date.from(NOW.plusSeconds(60))).build())))
                .contains(ada);
    }

    @Test
    void everyChangedCharacterIsNoticed() {
        String token = tokens.issue(ada);
        // the last character of base64 holds bits that mean nothing: one that changes only those is the same token
        for (int i = 0; i < token.length() - 1; i++) {
            char c = token.charAt(i);
            String changed = token.substring(0, i) + (c == 'a' ? 'b' : 'a') + token.substring(i + 1);
            assertThat(tokens.verify(changed)).as("character " + i).isEmpty();
        }
    }

    @Test
    void aShortSecretIsRefused() {
        assertThatThrownBy(() -> new Tokens("x".repeat(31), Clock.systemUTC()))
                .isInstanceOf(IllegalArgumentException.class);
    }

    private static String base64(String text) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    }
}
