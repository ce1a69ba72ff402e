package dev.sandglass.control.database;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;

/**
 * Values of the database that are remembered until it announces their change; asked for each time while announcements
 * do not arrive. What does not exist is not remembered. Thread-safe, of bounded size.
 *
 * @param <V> immutable
 */
public final class AnnouncedCache<V> {
    private final Announcements announcements;
    private final Cache<String, V> values;

    /** Counts what was announced, so that a value read before is not remembered after. */
    private final AtomicLong changes = new AtomicLong();

    /** {@code channel}: announces the keys whose value has changed. Before announcements are started. */
    public AnnouncedCache(Announcements announcements, String channel, int sizeMax) {
        this.announcements = announcements;
        this.values = Caffeine.newBuilder().maximumSize(sizeMax).build();
        announcements.on(channel, new Announcements.Listener() {
            @Override
            public void changed(String key) {
                forget(key);
            }

            @Override
            public void anythingChanged() {
                changes.incrementAndGet();
                values.invalidateAll();
            }
        });
    }

    /** The value; {@code load} reads it from the database. */
    public Optional<V> find(String key, Function<String, Optional<V>> load) {
        if (!announcements.isCurrent()) {
            return load.apply(key);
        }
        V known = values.getIfPresent(key);
        if (known != null) {
            return Optional.of(known);
        }
        long before = changes.get();
        Optional<V> loaded = load.apply(key);
        if (changes.get() == before) {
            loaded.ifPresent(value -> values.put(key, value));
            if (changes.get() != before) {
                values.invalidate(key);
            }
        }
        return loaded;
    }

    /** It has changed here; others are told by the database. */
    public void forget(String key) {
        changes.incrementAndGet();
        values.invalidate(key);
    }
}
