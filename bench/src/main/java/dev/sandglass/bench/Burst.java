package dev.sandglass.bench;

import java.time.Duration;

/**
 * Many creates, ten at a time.
 *
 * @param created how many of them succeeded
 * @param elapsed from the first one's start to the last one's end
 */
record Burst(int wanted, int created, Duration elapsed) {}
