package dev.sandglass.cli.server;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.encoder.PatternLayoutEncoder;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.ConsoleAppender;
import ch.qos.logback.core.OutputStreamAppender;
import ch.qos.logback.core.encoder.Encoder;
import ch.qos.logback.core.rolling.FixedWindowRollingPolicy;
import ch.qos.logback.core.rolling.SizeBasedTriggeringPolicy;
import ch.qos.logback.core.util.FileSize;
import java.nio.file.Path;
import java.util.logging.Logger;
import org.slf4j.LoggerFactory;

/** Where servers log: {@code up}, which talks with a person, to a file of bounded size; services to stderr. */
final class ServerLog {
    private static final String PATTERN =
            "%d{yyyy-MM-dd'T'HH:mm:ss.SSS} %-5level [%thread] %logger{0}: %msg %kvp" + " request=%X{request:--}%n";
    private static final String FILE_SIZE = "20MB";
    private static final int FILES = 4;

    private ServerLog() {}

    static void toFile(Path file, LogSettings settings) {
        LoggerContext context = reset();
        GatheringFile appender = new GatheringFile();
        appender.setContext(context);
        appender.setFile(file.toString());
        FixedWindowRollingPolicy rolling = new FixedWindowRollingPolicy();
        rolling.setContext(context);
        rolling.setParent(appender);
        rolling.setFileNamePattern(file + ".%i");
        rolling.setMinIndex(1);
        rolling.setMaxIndex(FILES);
        rolling.start();
        SizeBasedTriggeringPolicy<ILoggingEvent> trigger = new SizeBasedTriggeringPolicy<>();
        trigger.setContext(context);
        trigger.setMaxFileSize(FileSize.valueOf(FILE_SIZE));
        trigger.start();
        appender.setRollingPolicy(rolling);
        appender.setTriggeringPolicy(trigger);
        start(context, appender, settings);
    }

    static void toStderr(LogSettings settings) {
        LoggerContext context = reset();
        ConsoleAppender<ILoggingEvent> appender = new ConsoleAppender<>();
        appender.setContext(context);
        appender.setTarget("System.err");
        start(context, appender, settings);
    }

    private static LoggerContext reset() {
        // gRPC logs by java.util.logging, whose console handler would write into the progress display.
        Logger.getLogger("").setLevel(java.util.logging.Level.SEVERE);
        LoggerContext context = (LoggerContext) LoggerFactory.getILoggerFactory();
        context.reset();
        return context;
    }

    private static Encoder<ILoggingEvent> encoder(LoggerContext context, LogSettings settings) {
        if (settings.json()) {
            JsonLines lines = new JsonLines();
            lines.setContext(context);
            return lines;
        }
        PatternLayoutEncoder text = new PatternLayoutEncoder();
        text.setContext(context);
        text.setPattern(PATTERN);
        return text;
    }

    private static void start(
            LoggerContext context, OutputStreamAppender<ILoggingEvent> appender, LogSettings settings) {
        Encoder<ILoggingEvent> encoder = encoder(context, settings);
        encoder.start();
        appender.setEncoder(encoder);
        appender.start();
        var root = context.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
        root.setLevel(Level.INFO);
        root.addAppender(appender);
        for (String noisy : new String[] {"org.eclipse.jetty", "com.zaxxer.hikari", "org.flywaydb", "io.grpc"}) {
            context.getLogger(noisy).setLevel(Level.WARN);
        }
        settings.levels().forEach((name, level) -> {
            context.getLogger(name.isEmpty() ? org.slf4j.Logger.ROOT_LOGGER_NAME : name)
                    .setLevel(level);
        });
    }
}
