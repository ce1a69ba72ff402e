package dev.sandglass.cli;

import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.ApiFailure;
import dev.sandglass.cli.client.Sandbox;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
        name = "resume",
        description = "Let paused sandboxes go on where they were.",
        mixinStandardHelpOptions = true,
        footerHeading =
                "%nA stopped sandbox has its disk only, and is booted from it. With --cold a paused one is too: its"
                        + " memory is given up, which helps when it cannot be loaded any more.%n%nExamples:%n",
        footer = {"  sandglass resume sb4k7", "  sandglass resume --cold sb4k7"})
final class ResumeCommand extends SandboxesCommand {
    @Option(names = "--cold", description = "Give the memory up and boot from the disk.")
    private boolean cold;

    ResumeCommand(Context context) {
        super(context);
    }

    @Override
    Sandbox change(Api api, String id) {
        Sandbox sandbox = api.resume(id, cold);
        if (sandbox.cold() && !cold) {
            context.err()
                    .println(
                            "sandglass: " + id + " was booted from its disk; what ran in it before does not any more.");
        }
        return sandbox;
    }

    @Override
    String remedy(String id, ApiFailure failure) {
        return failure.code().equals("incompatible_snapshot")
                ? "`sandglass resume --cold " + id + "` boots it from its disk, without its memory."
                : "";
    }
}
