package dev.sandglass.host.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class EntriesTest {
    private static final long PAGE = Header.BLOCK_BYTES;
    private static final BuildId U = HeaderTest.U;
    private static final BuildId V = HeaderTest.V;

    /** Where one page lives. */
    private record Place(BuildId build, long storage) {}

    private static Entry entry(long page, long pages, BuildId build, long storagePage) {
        return new Entry(page * PAGE, pages * PAGE, build, storagePage * PAGE);
    }

    @Test
    void anOverlayInsideAnEntrySplitsItAndTheRestsStorageAdvances() {
        assertThat(Entries.overlay(List.of(entry(0, 10, U, 5)), List.of(entry(3, 2, V, 0))))
                .containsExactly(entry(0, 3, U, 5), entry(3, 2, V, 0), entry(5, 5, U, 10));
    }

    @Test
    void entriesUnderAnOverlayVanish() {
        List<Entry> base = List.of(entry(0, 2, U, 0), entry(2, 1, BuildId.ZERO_FILL, 0), entry(3, 5, U, 2));
        assertThat(Entries.overlay(base, List.of(entry(1, 4, V, 0))))
                .containsExactly(entry(0, 1, U, 0), entry(1, 4, V, 0), entry(5, 3, U, 4));
    }

    @Test
    void neighboursMergeOnlyWhenTheirStorageGoesOnOrBothAreZero() {
        List<Entry> base = List.of(entry(0, 4, U, 0));
        assertThat(Entries.overlay(base, List.of(entry(1, 1, V, 0), entry(2, 1, V, 1))))
                .containsExactly(entry(0, 1, U, 0), entry(1, 2, V, 0), entry(3, 1, U, 3));
        assertThat(Entries.overlay(base, List.of(entry(1, 1, V, 1), entry(2, 1, V, 0))))
                .containsExactly(entry(0, 1, U, 0), entry(1, 1, V, 1), entry(2, 1, V, 0), entry(3, 1, U, 3));
        List<Entry> zeroes = List.of(entry(1, 1, BuildId.ZERO_FILL, 0), entry(2, 1, BuildId.ZERO_FILL, 0));
        assertThat(Entries.overlay(base, zeroes))
                .containsExactly(entry(0, 1, U, 0), entry(1, 2, BuildId.ZERO_FILL, 0), entry(3, 1, U, 3));
    }

    @Test
    void overlaysThatOverlapOrReachTooFarAreRefused() {
        List<Entry> base = List.of(entry(0, 4, U, 0));
        assertThatThrownBy(() -> Entries.overlay(base, List.of(entry(0, 2, V, 0), entry(1, 1, V, 2))))
                .hasMessageContaining("not sorted");
        assertThatThrownBy(() -> Entries.overlay(base, List.of(entry(3, 2, V, 0))))
                .hasMessageContaining("beyond the base");
        assertThatThrownBy(() -> Entries.overlay(base, List.of(entry(4, 1, V, 0))))
                .hasMessageContaining("beyond the base");
    }

    @Test
    void overlayLookupAndPiecesAgreeWithArraysOfPages() {
        for (int seed = 0; seed < 5000; seed++) {
            compareWithArrays(seed);
        }
    }

    private static void compareWithArrays(int seed) {
        Random random = new Random(seed);
        int pages = 1 + random.nextInt(24);
        Place[] model = new Place[pages];
        for (int i = 0; i < pages; i++) {
            model[i] = new Place(U, i * PAGE);
        }
        Header header = Header.flat(U, pages * PAGE);
        for (int generation = 1; generation <= 5; generation++) {
            BuildId build = new BuildId(1, generation);
            List<Entry> overlay = randomOverlay(random, build, model);
            header = header.next(build, overlay);
            requireSame(header, model, "seed " + seed + " generation " + generation);
        }
        int from = random.nextInt(pages);
        int to = from + 1 + random.nextInt(pages - from);
        List<Entry> between = Entries.between(header.entries(), from * PAGE, to * PAGE);
        assertThat(between.getFirst().offset()).as("seed " + seed).isEqualTo(from * PAGE);
        assertThat(between.getLast().end()).as("seed " + seed).isEqualTo(to * PAGE);
        assertThat(Entries.overlay(header.entries(), between))
                .as("seed " + seed)
                .isEqualTo(header.entries());
    }

    private static List<Entry> randomOverlay(Random random, BuildId build, Place[] model) {
        List<Entry> overlay = new ArrayList<>();
        long storage = 0;
        for (int page = random.nextInt(4); page < model.length; page += random.nextInt(4)) {
            int count = 1 + random.nextInt(Math.min(5, model.length - page));
            boolean zero = random.nextInt(3) == 0;
            overlay.add(zero ? entry(page, count, BuildId.ZERO_FILL, 0) : entry(page, count, build, storage));
            for (int end = page + count; page < end; page++) {
                model[page] = zero ? new Place(BuildId.ZERO_FILL, 0) : new Place(build, storage++ * PAGE);
            }
        }
        return overlay;
    }

    private static void requireSame(Header header, Place[] model, String what) {
        for (int page = 0; page < model.length; page++) {
            Header.Run run = header.lookup(page * PAGE);
            assertThat(new Place(run.build(), run.storage())).as(what).isEqualTo(model[page]);
            for (int more = 1; more < run.length() / PAGE; more++) {
                boolean zero = run.build().isZeroFill();
                assertThat(model[page + more])
                        .as(what)
                        .isEqualTo(new Place(run.build(), zero ? 0 : run.storage() + more * PAGE));
            }
        }
        for (int i = 1; i < header.entries().size(); i++) {
            assertThat(header.entries().get(i - 1).continuedBy(header.entries().get(i)))
                    .as(what)
                    .isFalse();
        }
    }
}
