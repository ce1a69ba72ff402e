package dev.sandglass.cli;

import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.ApiFailure;
import dev.sandglass.cli.client.Sandbox;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
        name = "rm",
        aliases = "delete",
        description = "Delete sandboxes, with their disks and memory.",
        mixinStandardHelpOptions = true,
        footerHeading = "%nExamples:%n",
        footer = {"  sandglass rm sb4k7 sb9xq", "  sandglass rm --all"})
final class RemoveCommand implements Callable<Integer> {
    private final Context context;

    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli
    private CommandSpec spec;

    @Option(names = "--all", description = "Every sandbox of yours.")
    private boolean all;

    @Parameters(arity = "0..*", paramLabel = "SANDBOX", description = "Ids, each as long as it must be to be unique.")
    private List<String> sandboxes = List.of();

    RemoveCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() {
        if (all != sandboxes.isEmpty()) {
            throw new ParameterException(spec.commandLine(), "Give the ids of sandboxes, or --all.");
        }
        try (Api api = context.api()) {
            List<String> wanted = all ? api.list().stream().map(Sandbox::id).toList() : sandboxes;
            int failed = 0;
            for (String text : wanted) {
                failed += delete(api, text) ? 0 : 1;
            }
            return failed == 0 ? 0 : 1;
        }
    }

    /** One that cannot be deleted does not keep the others. */
    private boolean delete(Api api, String text) {
        try {
            String id = api.requireId(text);
            api.delete(id);
            context.out().println(id);
            return true;
        } catch (ApiFailure e) {
            if (e.status() == 0) {
                throw e;
            }
            context.err().println("sandglass: " + e.reason());
            return false;
        }
    }
}
