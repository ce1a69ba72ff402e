package dev.sandglass.control.apikey;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.ApiKeyId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.Id.UserId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.database.AnnouncedCache;
import dev.sandglass.control.database.Announcements;
import dev.sandglass.control.http.Caller;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Makes, finds and deletes keys. A key that was found is remembered until the database announces that it has
 * changed. That a key was used is written down off the request path by a thread of our own.
 */
public final class ApiKeys implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(ApiKeys.class);
    private static final String CHANGES = "sandglass_api_keys";
    private static final Duration USE_WRITTEN_EVERY = Duration.ofSeconds(2);
    private static final int KEYS_OF_A_TEAM_MAX = 1000;
    private static final int CACHE_MAX = 10_000;

    /** A key that has just been made, the only time its text is known. */
    public record NewKey(ApiKey key, String text) {
        @Override
        public String toString() {
            return "new key " + key.id();
        }
    }

    private final ApiKeyStore store;
    private final AnnouncedCache<Caller.ByKey> found;
    private final Cache<ApiKeyId, Boolean> writtenLately = Caffeine.newBuilder()
            .maximumSize(CACHE_MAX)
            .expireAfterWrite(Duration.ofMinutes(1))
            .build();
    private final Set<ApiKeyId> used = ConcurrentHashMap.newKeySet();
    private final ScheduledExecutorService writer = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("api-key-use").factory());

    ApiKeys(ApiKeyStore store, Announcements announcements) {
        this.store = store;
        this.found = new AnnouncedCache<>(announcements, CHANGES, CACHE_MAX);
        long period = USE_WRITTEN_EVERY.toMillis();
        var _ = writer.scheduleWithFixedDelay(this::writeUse, period, period, TimeUnit.MILLISECONDS);
    }

    public NewKey create(TeamId team, UserId createdBy, String name) {
        KeyText text = KeyText.random();
        ApiKeyId id = ApiKeyId.random();
        if (!store.insert(id, team, name, text, createdBy, KEYS_OF_A_TEAM_MAX)) {
            throw new PlatformException(
                    ErrorCode.QUOTA_EXCEEDED,
                    "The team has " + KEYS_OF_A_TEAM_MAX + " API keys, the most it may have: delete some.");
        }
        return new NewKey(store.find(team, id).orElseThrow(), text.value());
    }

    /** Whose key this is; empty for one that does not exist. */
    public Optional<Caller.ByKey> find(String text) {
        if (!KeyText.isPlausible(text)) {
            return Optional.empty();
        }
        String hash = new KeyText(text).hash();
        Optional<Caller.ByKey> caller = found.find(hash, store::findByHash);
        caller.map(Caller.ByKey::key)
                .filter(key -> writtenLately.getIfPresent(key) == null)
                .ifPresent(used::add);
        return caller;
    }

    boolean delete(TeamId team, ApiKeyId id) {
        Optional<String> hash = store.delete(team, id);
        hash.ifPresent(found::forget);
        return hash.isPresent();
    }

    private void writeUse() {
        try {
            Set<ApiKeyId> batch = Set.copyOf(used);
            if (!batch.isEmpty()) {
                store.used(batch);
                batch.forEach(key -> writtenLately.put(key, true));
                used.removeAll(batch);
            }
        } catch (RuntimeException e) {
            log.warn("the use of API keys was not written down, it is tried again", e);
        }
    }

    @Override
    public void close() {
        writer.shutdownNow();
    }
}
