package dev.sandglass.control.account;

import dev.sandglass.control.http.Refusal;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.Base64;
import java.util.Optional;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.bouncycastle.crypto.generators.Argon2BytesGenerator;
import org.bouncycastle.crypto.params.Argon2Parameters;

/**
 * Argon2id hashes in the usual text form, {@code $argon2id$v=19$m=19456,t=2,p=1$salt$hash}. Each takes 19 MiB and about
 * 50 ms, so only a few are computed at once and only a bounded number may wait for that. They are computed on platform
 * threads: on a virtual one they would hold its carrier, and with it everybody else's requests.
 */
final class Passwords implements AutoCloseable {
    static final int LENGTH_MIN = 8;
    static final int LENGTH_MAX = 1024;

    private static final int MEMORY_KIB = 19 * 1024;
    private static final int ITERATIONS = 2;
    private static final int SALT_BYTES = 16;
    private static final int HASH_BYTES = 32;
    private static final int THREADS =
            Math.max(1, Runtime.getRuntime().availableProcessors() / 2); // the rest stays for everybody else
    private static final int WAITING_MAX = 200;
    private static final Duration WAIT_MAX = Duration.ofSeconds(20);
    private static final String PREFIX = "$argon2id$v=19$m=" + MEMORY_KIB + ",t=" + ITERATIONS + ",p=1$";

    private final SecureRandom random = new SecureRandom();
    private final ThreadPoolExecutor computing = new ThreadPoolExecutor(
            THREADS,
            THREADS,
            1,
            TimeUnit.MINUTES,
            new ArrayBlockingQueue<>(WAITING_MAX),
            Thread.ofPlatform().daemon().name("password-", 0).factory());

    /** For accounts without a password or that do not exist: refusing them takes as long as refusing others. */
    private final String decoy = hash("not the password of anybody");

    String hash(String password) {
        byte[] salt = new byte[SALT_BYTES];
        random.nextBytes(salt);
        Base64.Encoder base64 = Base64.getEncoder().withoutPadding();
        return PREFIX + base64.encodeToString(salt) + "$" + base64.encodeToString(compute(password, salt));
    }

    /** Takes the same time whether there is a hash or not. */
    boolean matches(String password, Optional<String> hash) {
        String[] parts = hash.orElse(decoy).split("\\$", -1);
        byte[] salt = Base64.getDecoder().decode(parts[4]);
        byte[] expected = Base64.getDecoder().decode(parts[5]);
        return MessageDigest.isEqual(expected, compute(password, salt)) && hash.isPresent();
    }

    private byte[] compute(String password, byte[] salt) {
        try {
            return computing.submit(() -> argon2id(password, salt)).get(WAIT_MAX.toMillis(), TimeUnit.MILLISECONDS);
        } catch (RejectedExecutionException | TimeoutException e) {
            throw busy();
        } catch (ExecutionException e) {
            throw new IllegalStateException("compute a password's hash", e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw busy();
        }
    }

    private static Refusal busy() {
        return Refusal.rateLimited("Too many people are logging in: try again shortly.", Duration.ofSeconds(5));
    }

    private static byte[] argon2id(String password, byte[] salt) {
        Argon2BytesGenerator generator = new Argon2BytesGenerator();
        generator.init(new Argon2Parameters.Builder(Argon2Parameters.ARGON2_id)
                .withVersion(Argon2Parameters.ARGON2_VERSION_13)
                .withMemoryAsKB(MEMORY_KIB)
                .withIterations(ITERATIONS)
                .withParallelism(1)
                .withSalt(salt)
                .build());
        byte[] hash = new byte[HASH_BYTES];
        generator.generateBytes(password.getBytes(StandardCharsets.UTF_8), hash);
        return hash;
    }

    @Override
    public void close() {
        computing.shutdownNow();
    }
}
