package dev.sandglass.bench;

import java.time.Duration;
import java.util.List;

/**
 * Many pauses and resumes of a few sandboxes.
 *
 * @param rounds a pause, a resume and a check of every byte each
 * @param troubles what went wrong: a wrong byte, a lost process or machine, a refused call
 * @param logged warnings and errors of the server meanwhile
 */
record SoakResult(int sandboxes, int rounds, Duration elapsed, List<String> troubles, List<String> logged) {
    SoakResult {
        troubles = List.copyOf(troubles);
        logged = List.copyOf(logged);
    }
}
