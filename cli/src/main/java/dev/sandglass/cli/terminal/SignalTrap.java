package dev.sandglass.cli.terminal;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;

/**
 * Handlers for signals. By reflection, since the compiler warns of {@code sun.misc.Signal} in a way that cannot be
 * suppressed, though it is exported and documented (module jdk.unsupported).
 */
public final class SignalTrap {
    private SignalTrap() {}

    /** {@code handler} runs in a thread of the JVM's, for each arrival of the signal, e.g. {@code INT}. */
    public static void on(String name, Runnable handler) {
        try {
            Class<?> signalClass = Class.forName("sun.misc.Signal");
            Class<?> handlerClass = Class.forName("sun.misc.SignalHandler");
            Object proxy = Proxy.newProxyInstance(
                    handlerClass.getClassLoader(), new Class<?>[] {handlerClass}, (self, method, arguments) -> {
                        if (method.getName().equals("handle")) {
                            handler.run();
                            return null;
                        }
                        return switch (method.getName()) {
                            case "hashCode" -> System.identityHashCode(self);
                            case "equals" ->
                                arguments != null
                                        && System.identityHashCode(self) == System.identityHashCode(arguments[0]);
                            default -> "handler of SIG" + name;
                        };
                    });
            Object signal = signalClass.getConstructor(String.class).newInstance(name);
            signalClass.getMethod("handle", signalClass, handlerClass).invoke(null, signal, proxy);
        } catch (InvocationTargetException e) {
            // The signal is ignored or taken (nohup, -Xrs): then it stays so.
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("trap SIG" + name, e);
        }
    }
}
