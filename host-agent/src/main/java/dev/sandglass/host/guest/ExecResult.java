package dev.sandglass.host.guest;

import com.google.protobuf.ByteString;
import dev.sandglass.contract.guest.v1.ExecExited;
import java.time.Duration;

/**
 * What a command that ran to its end has left.
 *
 * @param stdout its first bytes, as many as were asked to be kept; a terminal's output is here too
 * @param stderr likewise
 * @param truncated whether either had more
 * @param duration from the request to the exit, as the host saw it
 */
public record ExecResult(
        ByteString stdout, ByteString stderr, boolean truncated, ExecExited exited, Duration duration) {}
