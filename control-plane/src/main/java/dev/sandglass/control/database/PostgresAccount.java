package dev.sandglass.control.database;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * Whom the embedded server runs as: PostgreSQL refuses root. Without root we run it as ourselves. As root it gets a uid
 * that owns nothing else, in a mount namespace of its own where its directory can be reached by whoever may not enter
 * the directories above it (a SANDGLASS_HOME under /root), and where that uid has a name, which initdb insists on.
 * Where such a namespace is refused it runs as nobody.
 */
sealed interface PostgresAccount {
    /** In a range that neither Debian nor systemd allocates, and below 65536 since containers map only so many. */
    int OWN_UID = 65_522;

    int NOBODY = 65_534;

    /** Makes {@code directory} the server's own. */
    void give(Path directory) throws IOException;

    /** A process that runs {@code argv} as this account and gets SIGINT when the thread that starts it ends. */
    ProcessBuilder command(Path directory, List<String> argv);

    /** A process that inherits none of our environment, which may hold secrets. */
    private static ProcessBuilder bare(List<String> argv) {
        ProcessBuilder builder = new ProcessBuilder(argv);
        builder.environment().clear();
        builder.environment().put("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        builder.environment().put("LC_ALL", "C.UTF-8");
        return builder;
    }

    static PostgresAccount choose() throws IOException {
        boolean root = Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid"));
        return root ? new Unprivileged(mayUnshare()) : new Ourselves();
    }

    private static boolean mayUnshare() {
        try {
            Process probe = new ProcessBuilder("unshare", "-m", "true")
                    .redirectErrorStream(true)
                    .start();
            return probe.waitFor(10, TimeUnit.SECONDS) && probe.exitValue() == 0;
        } catch (IOException e) {
            return false;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    /** Not root: nothing to change. */
    record Ourselves() implements PostgresAccount {
        @Override
        public void give(Path directory) {}

        @Override
        public ProcessBuilder command(Path directory, List<String> argv) {
            List<String> all = new ArrayList<>(List.of("setpriv", "--pdeathsig", "INT"));
            all.addAll(argv);
            return bare(all);
        }
    }

    /** Root: another uid. */
    record Unprivileged(boolean ownNamespace) implements PostgresAccount {
        /**
         * $1 directory, $2 uid, then argv. /mnt is covered by a small tmpfs; the directory appears as /mnt/postgresql,
         * paths in argv are rewritten to that.
         */
        private static final String ENTER = """
                directory=$1 uid=$2
                shift 2
                mount -t tmpfs -o size=64k,mode=0755 sandglass /mnt
                mkdir /mnt/postgresql
                printf 'postgres:x:%s:%s::/:/bin/false\\n' "$uid" "$uid" > /mnt/passwd
                mount --bind "$directory" /mnt/postgresql
                mount --bind /mnt/passwd /etc/passwd
                cd /mnt/postgresql
                exec setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs --pdeathsig INT "$@"
                """;

        private static final String INSIDE = "/mnt/postgresql";

        private int uid() {
            return ownNamespace ? OWN_UID : NOBODY;
        }

        @Override
        public void give(Path data) throws IOException {
            if (Integer.valueOf(uid()).equals(Files.getAttribute(data, "unix:uid"))) {
                return;
            }
            try (Stream<Path> files = Files.walk(data)) {
                for (Path file : files.toList()) {
                    Files.setAttribute(file, "unix:uid", uid());
                    Files.setAttribute(file, "unix:gid", uid());
                }
            }
        }

        @Override
        public ProcessBuilder command(Path directory, List<String> argv) {
            List<String> all = new ArrayList<>();
            if (ownNamespace) {
                all.addAll(List.of("unshare", "-m", "sh", "-ec", ENTER, "sh", directory.toString(), "" + uid()));
                argv.forEach(word -> all.add(word.replace(directory.toString(), INSIDE)));
            } else {
                all.addAll(List.of("setpriv", "--reuid", "" + uid(), "--regid", "" + uid()));
                all.addAll(List.of("--clear-groups", "--no-new-privs", "--pdeathsig", "INT"));
                all.addAll(argv);
            }
            return bare(all);
        }
    }
}
