package dev.sandglass.acceptance;

import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * Gives tests the one installation that they share, started with the first of them and ended after the last. After each
 * test nothing may be left of it that was not there before.
 */
final class Shared
        implements ParameterResolver, BeforeAllCallback, BeforeEachCallback, AfterEachCallback, AfterAllCallback {
    private static final ExtensionContext.Namespace NAMESPACE = ExtensionContext.Namespace.create(Shared.class);

    private static Installation installation(ExtensionContext context) {
        return context.getRoot()
                .getStore(NAMESPACE)
                .computeIfAbsent(Installation.class, key -> start(), Installation.class);
    }

    private static Installation start() {
        return Planes.SHARED == 1
                ? Installation.started("shared")
                : Installation.startedApart("shared", Planes.SHARED, Optional.empty(), Map.of());
    }

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType().equals(Installation.class);
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        return installation(context);
    }

    @Override
    public void beforeAll(ExtensionContext context) {
        record(context);
    }

    @Override
    public void beforeEach(ExtensionContext context) {
        installation(context).note(context.getRequiredTestClass().getSimpleName() + " " + context.getDisplayName());
        record(context);
    }

    @Override
    public void afterEach(ExtensionContext context) {
        installation(context).assertNothingLivesBeyond(recorded(context));
    }

    @Override
    public void afterAll(ExtensionContext context) {
        installation(context).assertNothingBeyond(recorded(context));
    }

    private static void record(ExtensionContext context) {
        Footprint before = installation(context).footprint();
        context.getStore(NAMESPACE).put(context.getUniqueId(), before);
    }

    private static Footprint recorded(ExtensionContext context) {
        Footprint before = context.getStore(NAMESPACE).get(context.getUniqueId(), Footprint.class);
        if (before == null) {
            throw new IllegalStateException("nothing was recorded before " + context.getDisplayName());
        }
        return before;
    }
}
