package dev.sandglass.bench;

/** What is timed. {@code id} names it in JSON. */
enum Subject {
    COLD_BOOT("cold_boot", "cold boot → first answer", Part.COLD_BOOT),
    CREATE("create", "create → running, pool warm", Part.CREATE),
    CREATE_ECHO("create_echo", "create → output of echo", Part.CREATE),
    CREATE_PYTHON("create_python", "create → output of python3 -c", Part.CREATE),
    DELETE("delete", "delete", Part.CREATE),
    EXEC_TRUE("exec_true", "exec true (REST)", Part.EXEC),
    GUEST_TRUE("guest_true", "exec true (guest client alone)", Part.COLD_BOOT),
    EXEC_PYTHON("exec_python", "exec python3 -c", Part.PYTHON),
    PODMAN_RUN("podman_run", "podman run true", Part.PODMAN),
    PODMAN_EXEC("podman_exec", "podman exec true", Part.PODMAN),
    BURST_CREATE("burst_create", "create, 10 at a time", Part.BURST),
    PAUSE("pause", "pause, 10 MB changed", Part.PAUSE),
    PAUSE_LARGE("pause_large", "pause, 10 MB changed, 4 GiB guest", Part.PAUSE),
    PAUSE_SECOND("pause_second", "pause, the 2nd and 3rd", Part.PAUSE),
    PAUSE_TENTH("pause_tenth", "pause, the 10th and 11th", Part.PAUSE),
    RESUME_ECHO("resume_echo", "resume → output of echo, from disk", Part.PAUSE),
    RESUME_ECHO_CACHED("resume_echo_cached", "resume → output of echo, files cached", Part.PAUSE),
    SNAPSHOT("snapshot", "snapshot of a running sandbox", Part.SNAPSHOT),
    SNAPSHOT_FREEZE("snapshot_freeze", "of which its processes are frozen", Part.SNAPSHOT),
    SNAPSHOT_STOP("snapshot_stop", "of which it stands still", Part.SNAPSHOT),
    CREATE_FROM("create_from", "create --from → output of echo", Part.SNAPSHOT),
    EXEC_REST("exec_rest", "exec true, through REST", Part.STREAM),
    EXEC_GUEST("exec_guest", "exec true, straight to the guest's agent", Part.STREAM),
    ECHO_WEBSOCKET("echo_websocket", "a key's echo, through the WebSocket", Part.STREAM),
    ECHO_GUEST("echo_guest", "a key's echo, straight to the guest's agent", Part.STREAM),
    UPLOAD("upload", "upload of 64 MiB", Part.FILES),
    UPLOAD_PLAIN("upload_plain", "plain TCP copy of 64 MiB into the guest", Part.FILES),
    DOWNLOAD("download", "download of 64 MiB", Part.FILES),
    DOWNLOAD_PLAIN("download_plain", "plain TCP copy of 64 MiB out of the guest", Part.FILES);

    private final String id;
    private final String title;
    private final Part part;

    Subject(String id, String title, Part part) {
        this.id = id;
        this.title = title;
        this.part = part;
    }

    String id() {
        return id;
    }

    String title() {
        return title;
    }

    Part part() {
        return part;
    }
}
