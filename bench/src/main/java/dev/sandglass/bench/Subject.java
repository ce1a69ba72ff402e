package dev.sandglass.bench;

/** What is timed. {@code id} names it in JSON. */
enum Subject {
    COLD_BOOT("cold_boot", "cold boot → first answer", Part.COLD_BOOT),
    CREATE("create", "create → running", Part.CREATE),
    CREATE_ECHO("create_echo", "create → output of echo", Part.CREATE),
    DELETE("delete", "delete", Part.CREATE),
    EXEC_TRUE("exec_true", "exec true (REST)", Part.EXEC),
    GUEST_TRUE("guest_true", "exec true (guest client alone)", Part.COLD_BOOT),
    EXEC_PYTHON("exec_python", "exec python3 -c", Part.PYTHON),
    PODMAN_RUN("podman_run", "podman run true", Part.PODMAN),
    PODMAN_EXEC("podman_exec", "podman exec true", Part.PODMAN);

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
