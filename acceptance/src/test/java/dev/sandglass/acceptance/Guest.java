package dev.sandglass.acceptance;

/** Runs shell scripts in a sandbox, however it is reached. */
interface Guest {
    /** Stdout of a script that must exit with 0, without white space around it. */
    String sh(String script);
}
