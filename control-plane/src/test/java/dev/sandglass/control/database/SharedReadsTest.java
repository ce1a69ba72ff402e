package dev.sandglass.control.database;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
final class SharedReadsTest {
    private final ExecutorService callers = Executors.newVirtualThreadPerTaskExecutor();
    private final Semaphore gate = new Semaphore(0);
    private final ConcurrentLinkedQueue<Set<Integer>> queries = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean failing = new AtomicBoolean();
    private final SharedReads<Integer, String> reads = new SharedReads<>(this::query);

    /** Even numbers exist. Each query waits at the gate. */
    private Map<Integer, String> query(Set<Integer> keys) {
        queries.add(keys);
        gate.acquireUninterruptibly();
        if (failing.get()) {
            throw new IllegalStateException("the database is gone");
        }
        return keys.stream()
                .filter(key -> key % 2 == 0)
                .collect(Collectors.toMap(Function.identity(), key -> "row " + key));
    }

    @AfterEach
    void end() throws InterruptedException {
        gate.release(1_000_000);
        callers.shutdown();
        assertThat(callers.awaitTermination(20, TimeUnit.SECONDS)).isTrue();
    }

    private CompletableFuture<Optional<String>> ask(int key) {
        return CompletableFuture.supplyAsync(() -> reads.find(key), callers);
    }

    /** The two queries that are under way at once, and then {@code others} who wait. */
    private List<CompletableFuture<Optional<String>>> askAll(int others) {
        List<CompletableFuture<Optional<String>>> answers = new ArrayList<>();
        answers.add(ask(0));
        answers.add(ask(0));
        await().until(() -> queries.size() == 2);
        for (int key = 1; key <= others; key++) {
            answers.add(ask(key));
        }
        await().until(() -> reads.waiting() == others);
        return answers;
    }

    @Test
    void thoseWhoWaitShareTheNextQueryAndGetTheirOwnRow() throws Exception {
        List<CompletableFuture<Optional<String>>> answers = askAll(50);
        assertThat(queries).hasSize(2);
        gate.release(1_000_000);
        assertThat(answers.get(0).get()).contains("row 0");
        for (int key = 1; key <= 50; key++) {
            assertThat(answers.get(key + 1).get())
                    .isEqualTo(key % 2 == 0 ? Optional.of("row " + key) : Optional.empty());
        }
        assertThat(queries.size()).as("each of the two hands its turn on").isBetween(3, 4);
    }

    @Test
    void moreThanOneQueryTakesAreReadByTheNext() throws Exception {
        List<CompletableFuture<Optional<String>>> answers = askAll(350);
        gate.release(1_000_000);
        for (int key = 1; key <= 350; key++) {
            assertThat(answers.get(key + 1).get().isPresent()).isEqualTo(key % 2 == 0);
        }
        assertThat(queries).allSatisfy(keys -> assertThat(keys).hasSizeLessThanOrEqualTo(100));
    }

    @Test
    void aFailureIsEverybodysWhoSharedTheQueryAndNotTheNextOnes() throws Exception {
        List<CompletableFuture<Optional<String>>> answers = askAll(20);
        failing.set(true);
        gate.release(1_000_000);
        for (CompletableFuture<Optional<String>> answer : answers) {
            assertThatThrownBy(answer::join)
                    .isInstanceOf(CompletionException.class)
                    .hasRootCauseMessage("the database is gone");
        }
        failing.set(false);
        assertThat(reads.find(8)).contains("row 8");
    }

    @Test
    void oneWhoIsInterruptedLeavesTheOthersTheirTurn() throws Exception {
        askAll(0);
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        List<Thread> waiting = IntStream.range(0, 3)
                .mapToObj(i -> Thread.ofVirtual().start(() -> {
                    try {
                        reads.find(2);
                    } catch (RuntimeException e) {
                        thrown.set(e);
                    }
                }))
                .toList();
        await().until(() -> reads.waiting() == waiting.size());
        CompletableFuture<Optional<String>> last = ask(4);
        waiting.forEach(Thread::interrupt);
        for (Thread one : waiting) {
            assertThat(one.join(Duration.ofSeconds(10))).isTrue();
        }
        assertThat(Database.isUnavailable(thrown.get())).isTrue();
        gate.release(1_000_000);
        assertThat(last.get()).contains("row 4");
        assertThat(reads.find(6)).contains("row 6");
    }

    @Test
    void nobodyIsGivenWhatWasTrueBeforeTheyAsked() {
        AtomicInteger now = new AtomicInteger();
        SharedReads<String, Integer> counted = new SharedReads<>(keys -> {
            int value = now.get();
            LockSupport.parkNanos(20_000); // so that others ask meanwhile
            return keys.stream().collect(Collectors.toMap(Function.identity(), key -> value));
        });
        List<CompletableFuture<Void>> all = IntStream.range(0, 16)
                .mapToObj(i -> CompletableFuture.runAsync(
                        () -> {
                            for (int round = 0; round < 2000; round++) {
                                int before = now.incrementAndGet();
                                assertThat(counted.find("key" + i % 3).orElseThrow())
                                        .isGreaterThanOrEqualTo(before);
                            }
                        },
                        callers))
                .toList();
        all.forEach(CompletableFuture::join);
    }
}
