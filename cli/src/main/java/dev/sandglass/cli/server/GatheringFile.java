package dev.sandglass.cli.server;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.rolling.RollingFileAppender;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * A log file to which lines are written many at once, since a system call for each costs a busy server a good part of a
 * request. They are there after a fifth of a second at the latest; a warning or an error takes along at once what came before.
 */
final class GatheringFile extends RollingFileAppender<ILoggingEvent> {
    private static final Duration WRITTEN_EVERY = Duration.ofMillis(200);

    private final ScheduledExecutorService writer = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("log-writer").factory());

    GatheringFile() {
        setImmediateFlush(false);
    }

    @Override
    public void start() {
        super.start();
        long period = WRITTEN_EVERY.toMillis();
        var _ = writer.scheduleWithFixedDelay(this::write, period, period, TimeUnit.MILLISECONDS);
        Runtime.getRuntime().addShutdownHook(new Thread(this::write, "log-end"));
    }

    @Override
    protected void subAppend(ILoggingEvent event) {
        super.subAppend(event);
        if (event.getLevel().isGreaterOrEqual(Level.WARN)) {
            write();
        }
    }

    private void write() {
        streamWriteLock.lock();
        try {
            if (getOutputStream() != null) {
                getOutputStream().flush();
            }
        } catch (IOException e) {
            addError("the log could not be written", e);
        } finally {
            streamWriteLock.unlock();
        }
    }

    @Override
    public void stop() {
        writer.shutdownNow();
        super.stop();
    }
}
