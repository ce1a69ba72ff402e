package dev.sandglass.cli;

import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.ApiFailure;
import dev.sandglass.cli.client.Json;
import dev.sandglass.cli.client.Sandbox;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** A command that does one thing to each of the sandboxes it is given; one that fails does not keep the others. */
abstract class SandboxesCommand implements Callable<Integer> {
    final Context context;

    @Option(names = "--json", description = "Print each sandbox as JSON.")
    private boolean json;

    @Parameters(arity = "1..*", paramLabel = "SANDBOX", description = "Ids, each as long as it must be to be unique.")
    private List<String> sandboxes = List.of();

    SandboxesCommand(Context context) {
        this.context = context;
    }

    /** Returns what it is afterwards. */
    abstract Sandbox change(Api api, String id);

    /** What a person may do about this failure, beyond what it says itself; empty for nothing. */
    String remedy(String id, ApiFailure failure) {
        return "";
    }

    @Override
    public final Integer call() {
        try (Api api = context.api()) {
            int failed = 0;
            for (String text : sandboxes) {
                failed += changed(api, text) ? 0 : 1;
            }
            return failed == 0 ? 0 : 1;
        }
    }

    private boolean changed(Api api, String text) {
        String id = text;
        try {
            id = api.requireId(text);
            Sandbox sandbox = change(api, id);
            context.out().println(json ? Json.writeIndented(sandbox.json()) : id);
            return true;
        } catch (ApiFailure e) {
            if (e.status() == 0) {
                throw e;
            }
            context.err().println("sandglass: " + e.reason());
            String remedy = remedy(id, e);
            if (!remedy.isEmpty()) {
                context.err().println("sandglass: " + remedy);
            }
            return false;
        }
    }
}
