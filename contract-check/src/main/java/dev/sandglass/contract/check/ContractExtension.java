package dev.sandglass.contract.check;

import java.util.List;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * Fails a test whose traffic differs from the document. JUnit finds it by itself where
 * {@code junit.jupiter.extensions.autodetection.enabled} is true. What a background thread of one test did may be found
 * after the next one; the request is named either way.
 */
public final class ContractExtension implements AfterEachCallback, AfterAllCallback {
    @Override
    public void afterEach(ExtensionContext context) {
        requireNone();
    }

    @Override
    public void afterAll(ExtensionContext context) {
        requireNone();
    }

    private static void requireNone() {
        List<String> differences = Traffic.takeDifferences();
        if (!differences.isEmpty()) {
            throw new AssertionError("Server and openapi.yaml differ:\n" + String.join("\n", differences));
        }
    }
}
