package dev.sandglass.acceptance;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.CodeElement;
import java.lang.classfile.CodeTransform;
import java.lang.classfile.MethodModel;
import java.lang.classfile.MethodTransform;
import java.lang.classfile.instruction.InvokeInstruction;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.lang.constant.MethodTypeDesc;
import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.ProtectionDomain;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Runs inside a host agent ({@code -javaagent}): is told of each call by which its classes change the host, whoever added
 * it, and writes down those of a lifecycle operation that lie in no step. Everything that is not known to only read
 * counts as a change.
 */
public final class KernelCallWatch {
    private static final String PRODUCT = "dev/sandglass/host/";
    /** What it calls in itself is nobody's decision. */
    private static final String CALLS = PRODUCT + "linux/Linux";

    private static final String AGENT = "dev.sandglass.host.agent.";
    private static final ClassDesc SELF = ClassDesc.of(KernelCallWatch.class.getName());
    private static final MethodTypeDesc NOTE = MethodTypeDesc.of(ConstantDescs.CD_void, ConstantDescs.CD_String);

    private static final Set<String> READING_FILES = Set.of(
            "exists",
            "isDirectory",
            "isRegularFile",
            "isExecutable",
            "isReadable",
            "isSymbolicLink",
            "list",
            "walk",
            "walkFileTree", // what its visitor does is seen
            "lines",
            "newBufferedReader",
            "newDirectoryStream",
            "newInputStream",
            "notExists",
            "readAllBytes",
            "readAllLines",
            "readAttributes",
            "readString",
            "readSymbolicLink",
            "getFileStore",
            "getLastModifiedTime",
            "getAttribute",
            "getPosixFilePermissions",
            "isSameFile",
            "size");

    private static final Set<String> READING_CALLS = Set.of(
            "getpid",
            "open",
            "read",
            "lseek",
            "seals",
            "startReadahead",
            "strerror",
            "poll",
            "pidfdOpen",
            "statx",
            "statfs",
            "close",
            // wakes a thread of the agent itself
            "eventfd",
            "signalEvent",
            "clearEvent");

    private static final Set<String> WRITING_CHANNELS = Set.of("write", "force", "truncate", "transferFrom");

    /** Where operations come from: calls by the protocol, idle time, the end of a VM, the pool, threads of operations. */
    private static final Set<String> SOURCES =
            Set.of("HostAgentGrpc", "IdleReaper", "Deaths", "WarmPool", "Sandboxes", "Beside");

    /**
     * No operations: what is done at the agent's start, which can be killed everywhere since it begins anew, and what is
     * merged in the background, whose steps are those of memory and disk.
     */
    private static final Set<String> ELSEWHERE = Set.of("reclaim", "tidy", "close");

    private static final ConcurrentMap<String, LongAdder> seen = new ConcurrentHashMap<>();
    private static final Set<String> told = ConcurrentHashMap.newKeySet();
    private static @Nullable Path report;

    private KernelCallWatch() {}

    /**
     * Called by the JVM.
     *
     * @param file where to write: lines {@code OUTSIDE call at frames}, and at the end {@code SEEN call count}
     */
    public static void premain(String file, Instrumentation instrumentation) {
        report = Path.of(file);
        instrumentation.addTransformer(new ClassFileTransformer() {
            @Override
            @SuppressWarnings("NullAway") // null means unchanged
            public byte @Nullable [] transform(
                    @Nullable ClassLoader loader,
                    String name,
                    @Nullable Class<?> redefined,
                    @Nullable ProtectionDomain domain,
                    byte[] bytes) {
                return name != null && name.startsWith(PRODUCT) && !name.equals(CALLS) ? watched(name, bytes) : null;
            }
        });
        Runtime.getRuntime()
                .addShutdownHook(new Thread(() -> seen.forEach((call, count) -> write("SEEN " + call + " " + count))));
    }

    private static byte @Nullable [] watched(String name, byte[] bytes) {
        try {
            ClassFile classFile = ClassFile.of();
            return classFile.transformClass(classFile.parse(bytes), transform(name));
        } catch (RuntimeException e) {
            write("OUTSIDE the watch could not look into " + name + ": " + e);
            return null;
        }
    }

    private static ClassTransform transform(String className) {
        return (classBuilder, element) -> {
            if (element instanceof MethodModel method) {
                boolean command =
                        className.endsWith("/QmpClient") && method.methodName().equalsString("send");
                classBuilder.transformMethod(method, MethodTransform.transformingCode(new CodeTransform() {
                    @Override
                    public void atStart(CodeBuilder code) {
                        if (command) {
                            code.aload(1).invokestatic(SELF, "command", NOTE);
                        }
                    }

                    @Override
                    public void accept(CodeBuilder code, CodeElement instruction) {
                        if (instruction instanceof InvokeInstruction call && changes(call)) {
                            String what = call.owner().asInternalName().replaceAll(".*/", "") + "."
                                    + call.name().stringValue();
                            code.loadConstant(what).invokestatic(SELF, "note", NOTE);
                        }
                        code.with(instruction);
                    }
                }));
            } else {
                classBuilder.with(element);
            }
        };
    }

    private static boolean changes(InvokeInstruction call) {
        String method = call.name().stringValue();
        return switch (call.owner().asInternalName()) {
            case "java/nio/file/Files" -> !READING_FILES.contains(method);
            case "java/nio/channels/FileChannel" -> WRITING_CHANNELS.contains(method);
            case "java/lang/ProcessBuilder" -> method.equals("start");
            case "java/lang/ProcessHandle", "java/lang/Process" -> method.startsWith("destroy");
            case CALLS -> !READING_CALLS.contains(method);
            default -> false;
        };
    }

    // ---- Called by what is watched

    public static void command(String qmp) {
        if (!qmp.startsWith("query-") && !qmp.equals("qmp_capabilities")) {
            note("Qmp." + qmp);
        }
    }

    public static void note(String call) {
        List<StackWalker.StackFrame> frames = StackWalker.getInstance()
                .walk(all -> all.filter(frame -> frame.getClassName().startsWith("dev.sandglass.host."))
                        .toList());
        boolean operation = frames.stream().anyMatch(KernelCallWatch::isSource)
                && frames.stream().noneMatch(KernelCallWatch::isElsewhere);
        if (!operation) {
            return;
        }
        if (frames.stream().anyMatch(frame -> frame.getClassName().equals(AGENT + "Steps"))) {
            seen.computeIfAbsent(call, _ -> new LongAdder()).increment();
            return;
        }
        String where = frames.stream()
                .map(frame -> frame.getClassName().replaceAll(".*\\.", "") + "." + frame.getMethodName() + ":"
                        + frame.getLineNumber())
                .collect(Collectors.joining(" < "));
        if (told.add(call + where)) {
            write("OUTSIDE " + call + " at " + where);
        }
    }

    private static boolean isSource(StackWalker.StackFrame frame) {
        String name = frame.getClassName();
        return name.startsWith(AGENT)
                && SOURCES.contains(name.substring(AGENT.length()).split("\\$", 2)[0]);
    }

    private static boolean isElsewhere(StackWalker.StackFrame frame) {
        return isSource(frame) && ELSEWHERE.contains(frame.getMethodName());
    }

    private static synchronized void write(String line) {
        try {
            Files.writeString(
                    java.util.Objects.requireNonNull(report),
                    line + "\n",
                    StandardOpenOption.CREATE,
                    StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new UncheckedIOException("write " + report, e);
        }
    }

    /** What was seen, by call. */
    static Map<String, Long> counts(String report) {
        return report.lines()
                .filter(line -> line.startsWith("SEEN "))
                .map(line -> line.split(" ", 3))
                .collect(Collectors.toMap(words -> words[1], words -> Long.parseLong(words[2]), Long::sum));
    }
}
