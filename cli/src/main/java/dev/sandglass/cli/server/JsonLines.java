package dev.sandglass.cli.server;

import ch.qos.logback.classic.pattern.ThrowableProxyConverter;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.encoder.EncoderBase;
import dev.sandglass.cli.client.Json;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Optional;
import org.slf4j.event.KeyValuePair;
import tools.jackson.databind.node.ObjectNode;

/**
 * An event as one line of JSON: {@code time}, {@code level}, {@code logger}, {@code thread}, {@code message}, the request it
 * belongs to as {@code request}, the event's own fields, and a failure as {@code failure}.
 */
final class JsonLines extends EncoderBase<ILoggingEvent> {
    private static final byte[] NOTHING = new byte[0];

    private final ThrowableProxyConverter failures = new ThrowableProxyConverter();

    @Override
    public void start() {
        failures.start();
        super.start();
    }

    @Override
    public byte[] headerBytes() {
        return NOTHING;
    }

    @Override
    public byte[] footerBytes() {
        return NOTHING;
    }

    @Override
    public byte[] encode(ILoggingEvent event) {
        ObjectNode line = Json.object()
                .put(
                        "time",
                        Instant.ofEpochMilli(event.getTimeStamp())
                                .truncatedTo(ChronoUnit.MILLIS)
                                .toString())
                .put("level", event.getLevel().toString())
                .put("logger", event.getLoggerName())
                .put("thread", event.getThreadName())
                .put("message", event.getFormattedMessage());
        event.getMDCPropertyMap().forEach(line::put);
        Optional.ofNullable(event.getKeyValuePairs()).orElse(List.of()).forEach(pair -> put(line, pair));
        if (event.getThrowableProxy() != null) {
            line.put("failure", failures.convert(event).strip());
        }
        return (Json.write(line) + "\n").getBytes(StandardCharsets.UTF_8);
    }

    private static void put(ObjectNode line, KeyValuePair pair) {
        switch (pair.value) {
            case Integer number -> line.put(pair.key, number);
            case Long number -> line.put(pair.key, number);
            case Boolean flag -> line.put(pair.key, flag);
            case null -> line.putNull(pair.key);
            default -> line.put(pair.key, String.valueOf(pair.value));
        }
    }
}
