package dev.sandglass.control.observe;

import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.Metrics;
import io.micrometer.core.instrument.Timer;
import io.micrometer.core.instrument.binder.jvm.JvmGcMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmMemoryMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmThreadMetrics;
import io.micrometer.core.instrument.binder.system.FileDescriptorMetrics;
import io.micrometer.core.instrument.binder.system.ProcessorMetrics;
import io.micrometer.core.instrument.binder.system.UptimeMetrics;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.DoubleSupplier;
import java.util.stream.LongStream;

/** Metrics in Prometheus' text form. Thread-safe. Labels come from closed sets, never from what a caller sends. */
public final class Telemetry implements AutoCloseable {
    private static final Set<String> METHODS = Set.of("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS");

    /** In seconds what is worth telling apart, from a read of one row to a first boot. */
    private static final Duration[] BUCKETS = LongStream.of(
                    1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000)
            .mapToObj(Duration::ofMillis)
            .toArray(Duration[]::new);

    private record Answered(String method, String route, int status) {}

    private final Map<String, AtomicInteger> strangers = new ConcurrentHashMap<>();
    private final Map<Answered, Timer> requests = new ConcurrentHashMap<>();
    private final PrometheusMeterRegistry registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);

    /** What belongs to the process: its memory and threads, and what a host agent in it times, who knows no collector. */
    private static final class OfProcess {
        private static final JvmGcMetrics COLLECTIONS = new JvmGcMetrics(); // for as long as the process
        static final PrometheusMeterRegistry REGISTRY = open();

        private static PrometheusMeterRegistry open() {
            PrometheusMeterRegistry registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
            new JvmMemoryMetrics().bindTo(registry);
            new JvmThreadMetrics().bindTo(registry);
            new ProcessorMetrics().bindTo(registry);
            COLLECTIONS.bindTo(registry);
            new UptimeMetrics().bindTo(registry);
            new FileDescriptorMetrics().bindTo(registry);
            Metrics.addRegistry(registry);
            return registry;
        }
    }

    public Telemetry() {
        collectProcess();
    }

    /** To be called before anything in the process is timed: what was timed before is not in the metrics. */
    public static void collectProcess() {
        if (OfProcess.REGISTRY.isClosed()) {
            throw new IllegalStateException("the metrics of the process end with it");
        }
    }

    /** A request has been answered. {@code route} is the pattern, not the path. */
    public void request(String method, String route, int status, long elapsedNanos) {
        requests.computeIfAbsent(new Answered(METHODS.contains(method) ? method : "other", route, status), this::timer)
                .record(elapsedNanos, TimeUnit.NANOSECONDS);
    }

    private Timer timer(Answered answered) {
        return Timer.builder("sandglass.http.requests")
                .tag("method", answered.method())
                .tag("route", answered.route())
                .tag("status", Integer.toString(answered.status()))
                .serviceLevelObjectives(BUCKETS)
                .register(registry);
    }

    /** Something that is counted when somebody looks. */
    public void gauge(String name, String description, DoubleSupplier value) {
        Gauge.builder(name, value, DoubleSupplier::getAsDouble)
                .description(description)
                .strongReference(true)
                .register(registry);
    }

    /** A lifecycle operation on a sandbox has ended. */
    public void operation(String name, boolean succeeded, long elapsedNanos) {
        Timer.builder("sandglass.operations")
                .tag("operation", name)
                .tag("outcome", succeeded ? "success" : "failure")
                .serviceLevelObjectives(BUCKETS)
                .register(registry)
                .record(Duration.ofNanos(elapsedNanos));
    }

    /** All hosts have been looked at. */
    public void reconciled(long elapsedNanos) {
        Timer.builder("sandglass.reconciler.pass").register(registry).record(Duration.ofNanos(elapsedNanos));
    }

    /** What a host has that the database does not know, and that is left alone. */
    public void strangers(String host, int count) {
        strangers
                .computeIfAbsent(host, name -> {
                    AtomicInteger gauge = new AtomicInteger();
                    Gauge.builder("sandglass.reconciler.strangers", gauge, AtomicInteger::get)
                            .tag("host", name)
                            .register(registry);
                    return gauge;
                })
                .set(count);
    }

    public String scrape() {
        return OfProcess.REGISTRY.scrape() + registry.scrape();
    }

    @Override
    public void close() {
        registry.close();
    }
}
