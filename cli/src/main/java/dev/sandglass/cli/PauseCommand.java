package dev.sandglass.cli;

import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.Sandbox;
import picocli.CommandLine.Command;

@Command(
        name = "pause",
        description = "Put sandboxes to disk, with everything that runs in them.",
        mixinStandardHelpOptions = true,
        footerHeading =
                "%nA paused sandbox uses disk only: what changed in its memory since it was made. `resume` lets it"
                        + " go on where it was, today or after a reboot.%n%nExamples:%n",
        footer = {"  sandglass pause sb4k7", "  sandglass pause $(sandglass ps -q)"})
final class PauseCommand extends SandboxesCommand {
    PauseCommand(Context context) {
        super(context);
    }

    @Override
    Sandbox change(Api api, String id) {
        return api.pause(id);
    }
}
