package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Many at once, and what they cost. */
@Order(22)
@ExtendWith(Shared.class)
class ManySandboxesTest {
    private static final long PSS_KIB_MAX = 60_000;

    private static List<Integer> upTo(int count) {
        return IntStream.range(0, count).boxed().toList();
    }

    /** Of every file that clones share and must not change, as read without its holes: a disk is mostly holes. */
    private static String templates(Installation server) {
        String hash = """
                find "$0/templates" "$0/images" -type f | sort | while read -r file; do
                    printf '%s %s\n' "$(tar --sparse --mtime=@0 -cPf - "$file" | sha256sum)" "$file"
                done
                """;
        return Shell.of("sh", "-ec", hash, server.home().toString())
                .within(Duration.ofMinutes(2))
                .run()
                .require();
    }

    @Test
    void twentyAreCreatedAtOnce(Installation server) {
        String before = templates(server);
        long began = System.nanoTime();
        List<Sandbox> made = create(server, 20);
        System.out.printf("20 sandboxes at once: %d ms%n", millisSince(began));
        try {
            assertThat(made.stream().map(Sandbox::id)).doesNotHaveDuplicates();
            assertThat(made.stream().map(Sandbox::hostIp)).doesNotHaveDuplicates();
            List<String> answers = Parallel.each(
                    made, sandbox -> sandbox.exec("echo", sandbox.id()).require());
            assertThat(answers).isEqualTo(made.stream().map(Sandbox::id).toList());
        } finally {
            delete(made);
        }
        assertThat(templates(server)).isEqualTo(before);
    }

    @Test
    void fiftyLiveAtTheSameTimeAndEachAnswers(Installation server) {
        String before = templates(server);
        long began = System.nanoTime();
        List<Sandbox> made = create(server, 50);
        try {
            long created = millisSince(began);
            began = System.nanoTime();
            List<String> answers =
                    Parallel.each(made, sandbox -> sandbox.exec("hostname").require());
            long answered = millisSince(began);
            assertThat(answers).hasSize(50);
            Set<Integer> alive = server.vms().stream().map(Proc::pid).collect(Collectors.toSet());
            assertThat(alive).hasSizeGreaterThanOrEqualTo(50);
            List<Long> pss = server.vms().stream().map(Proc::pssKib).sorted().toList();
            long most = pss.getLast();
            double beyondFirst = pss.stream().mapToLong(Long::longValue).sum() - (double) most;
            double each = beyondFirst / (pss.size() - 1);
            System.out.printf(
                    "50 sandboxes: created in %d ms, all answered in %d ms, PSS %.1f MB each beyond the first%n",
                    created, answered, each / 1000);
            assertThat(each).as("PSS in KiB of each beyond the first").isLessThanOrEqualTo(PSS_KIB_MAX);
        } finally {
            began = System.nanoTime();
            delete(made);
            System.out.printf("50 sandboxes deleted in %d ms%n", millisSince(began));
        }
        assertThat(server.vms()).isEmpty();
        assertThat(templates(server)).as("what 50 clones share").isEqualTo(before);
    }

    @Test
    void nothingGrowsWithTheNumberOfSandboxesMade(Installation server) {
        Proc process = new Proc(server.pid());
        rounds(server, 2);
        Installation.pause(Duration.ofSeconds(2));
        int descriptors = process.descriptors();
        int threads = Integer.parseInt(process.status("Threads"));
        rounds(server, 6);
        Installation.pause(Duration.ofSeconds(2));
        assertThat(process.descriptors()).as("descriptors").isLessThanOrEqualTo(descriptors + 6);
        assertThat(Integer.parseInt(process.status("Threads"))).as("threads").isLessThanOrEqualTo(threads + 12);
        assertThat(Proc.all().stream().filter(other -> other.zombie() && other.parent() == server.pid()))
                .as("zombies")
                .isEmpty();
    }

    private static void rounds(Installation server, int count) {
        for (int i = 0; i < count; i++) {
            List<Sandbox> made = create(server, 5);
            Parallel.each(made, sandbox -> sandbox.exec("true").exitCode());
            delete(made);
        }
    }

    /** All or none: when one fails, those that came up are deleted. */
    private static List<Sandbox> create(Installation server, int count) {
        ConcurrentLinkedQueue<Sandbox> made = new ConcurrentLinkedQueue<>();
        try {
            Parallel.each(upTo(count), n -> made.add(server.api().create(Map.of("metadata", Map.of("n", "" + n)))));
            assertThat(new HashSet<>(made)).hasSize(count);
            return List.copyOf(made);
        } catch (Throwable failure) {
            delete(List.copyOf(made));
            throw failure;
        }
    }

    private static void delete(List<Sandbox> made) {
        Parallel.each(made, sandbox -> {
            sandbox.delete();
            return true;
        });
    }

    private static long millisSince(long nanos) {
        return (System.nanoTime() - nanos) / 1_000_000;
    }
}
