package dev.sandglass.control.account;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.crypto.MACSigner;
import com.nimbusds.jose.crypto.MACVerifier;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.Id.UserId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.http.Caller;
import java.nio.charset.StandardCharsets;
import java.text.ParseException;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.Date;
import java.util.Optional;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/** Log-in tokens: JWT, HS256 and nothing else. */
public final class Tokens {
    static final Duration LIFETIME = Duration.ofHours(6);

    /** Of control planes that share a secret. */
    private static final Duration CLOCKS_APART_MAX = Duration.ofMinutes(1);

    private static final String ISSUER = "sandglass";

    private final byte[] secret;
    private final Clock clock;

    /** @param secret at least 32 bytes in UTF-8 */
    public Tokens(String secret, Clock clock) {
        this.secret = secret.getBytes(StandardCharsets.UTF_8);
        this.clock = clock;
        if (this.secret.length < 32) {
            throw new IllegalArgumentException("JWT_SECRET is shorter than 32 bytes");
        }
    }

    public String issue(Caller.ByUser user) {
        Instant now = clock.instant();
        JWTClaimsSet claims = new JWTClaimsSet.Builder()
                .subject(user.user().value())
                .claim("team_id", user.team().value())
                .claim("email", user.email())
                .issuer(ISSUER)
                .jwtID(UUID.randomUUID().toString())
                .issueTime(Date.from(now))
                .expirationTime(Date.from(now.plus(LIFETIME)))
                .build();
        try {
            SignedJWT token = new SignedJWT(new JWSHeader(JWSAlgorithm.HS256), claims);
            token.sign(new MACSigner(secret));
            return token.serialize();
        } catch (JOSEException e) {
            throw new IllegalStateException("sign a token", e);
        }
    }

    /** Empty for what we did not sign, what has expired, and what is no token at all. */
    public Optional<Caller.ByUser> verify(String text) {
        try {
            SignedJWT token = SignedJWT.parse(text);
            if (!JWSAlgorithm.HS256.equals(token.getHeader().getAlgorithm())
                    || !token.verify(new MACVerifier(secret))) {
                return Optional.empty();
            }
            JWTClaimsSet claims = token.getJWTClaimsSet();
            if (!isInForce(claims) || !ISSUER.equals(claims.getIssuer())) {
                return Optional.empty();
            }
            return Optional.of(new Caller.ByUser(
                    new UserId(claims.getSubject()),
                    new TeamId(claims.getStringClaim("team_id")),
                    claims.getStringClaim("email")));
        } catch (ParseException
                | JOSEException
                | PlatformException
                | IllegalArgumentException
                | NullPointerException e) {
            return Optional.empty(); // whatever it is, it is not one of ours
        }
    }

    private boolean isInForce(JWTClaimsSet claims) {
        Instant now = clock.instant();
        Date expires = claims.getExpirationTime();
        return expires != null
                && now.isBefore(expires.toInstant())
                && hasCome(claims.getNotBeforeTime(), now)
                && hasCome(claims.getIssueTime(), now);
    }

    private static boolean hasCome(@Nullable Date time, Instant now) {
        return time == null || !now.plus(CLOCKS_APART_MAX).isBefore(time.toInstant());
    }
}
