package dev.sandglass.contract;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class ScopeTest {
    private final List<String> released = new ArrayList<>();

    private ThrowingRunnable release(String name) {
        return () -> released.add(name);
    }

    private ThrowingRunnable fail(String name) {
        return () -> {
            released.add(name);
            throw new IllegalArgumentException(name);
        };
    }

    @Test
    void releasesInReverseAndOnlyOnce() {
        Scope scope = Scope.open("test");
        scope.defer("a", release("a"));
        scope.defer("b", release("b"));
        scope.close();
        scope.close();
        assertThat(released).containsExactly("b", "a");
    }

    @Test
    void handedOverResourcesStay() {
        try (Scope scope = Scope.open("test")) {
            scope.defer("a", release("a"));
            scope.handOver();
        }
        assertThat(released).isEmpty();
    }

    @Test
    void aFailureDoesNotKeepTheOthersAndIsThrownWithTheLaterOnesInside() {
        Scope scope = Scope.open("start x");
        scope.defer("a", fail("a"));
        scope.defer("b", release("b"));
        scope.defer("c", fail("c"));
        assertThatThrownBy(scope::close)
                .hasMessage("start x: could not release c")
                .satisfies(e -> assertThat(e.getSuppressed())
                        .singleElement()
                        .satisfies(later -> assertThat(later).hasMessage("start x: could not release a")));
        assertThat(released).containsExactly("c", "b", "a");
    }

    @Test
    void theBodysFailureIsTheOneThatIsThrown() {
        assertThatThrownBy(() -> {
                    try (Scope scope = Scope.open("start x")) {
                        scope.defer("a", fail("a"));
                        throw new IllegalStateException("body");
                    }
                })
                .hasMessage("body")
                .satisfies(e -> assertThat(e.getSuppressed()).hasSize(1));
    }

    @Test
    void whatArrivesAfterTheEndIsReleasedAtOnce() {
        Scope scope = Scope.open("test");
        scope.close();
        AutoCloseable late = () -> released.add("late");
        assertThatThrownBy(() -> scope.own(late)).isInstanceOf(IllegalStateException.class);
        assertThat(released).containsExactly("late");
    }
}
