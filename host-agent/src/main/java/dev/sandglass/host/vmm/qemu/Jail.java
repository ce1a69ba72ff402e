package dev.sandglass.host.vmm.qemu;

import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.vmm.VmmFailed;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * All of the file system that a QEMU process sees: a mount namespace whose root holds the host's /usr, which is the
 * distribution's and public, to read; a /dev with what QEMU opens; and a /proc that shows a process itself alone. No
 * configuration, home, state or temporary file of the host has a name in it. Made once and copied by each machine, so that
 * starting one mounts nothing. Nothing of it is left when this is closed and the machines have ended.
 */
final class Jail implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    private static final String READY = "ready";

    /**
     * Mounted over /run, which serves as a place only: nobody else sees this namespace. A QEMU outside of /usr comes with
     * the directory that it was installed to. Kernels before 5.8 show other processes' directories, as /proc anywhere does.
     */
    private static final String SCRIPT = """
            binary=$1
            mount -t tmpfs -o mode=0755,size=1m,nosuid,noexec sandglass /run
            cd /run
            mkdir dev dev/net proc etc usr old
            mknod -m 0666 dev/net/tun c 10 200
            mknod -m 0666 dev/null c 1 3
            [ ! -c /dev/kvm ] || mknod -m 0666 dev/kvm c 10 232
            read_only() {
                mkdir -p ".$1"
                mount --bind "$1" ".$1"
                mount -o remount,bind,ro,nosuid,nodev ".$1"
            }
            for path in /usr /bin /sbin /lib /lib32 /lib64 /libx32; do
                if [ -L "$path" ]; then
                    cp -P "$path" ".$path"
                elif [ -d "$path" ]; then
                    read_only "$path"
                fi
            done
            case $binary in
            /usr/* | /bin/* | /sbin/*) ;;
            *)
                installed=${binary%/*}
                [ "${installed%/*}" = "" ] || installed=${installed%/*}
                read_only "$installed"
                ;;
            esac
            cp /etc/ld.so.cache etc/
            mount -t proc -o nosuid,nodev,noexec,hidepid=invisible,subset=pid proc proc 2>/dev/null ||
                mount -t proc -o nosuid,nodev,noexec proc proc
            rm -rf mount # notes that mount(8) takes in what it thinks is /run
            pivot_root . old
            umount -l /old
            rmdir /old
            mount -o remount,ro /
            echo "$2"
            read -r _
            """;

    private final FileDescriptor namespace;

    private Jail(FileDescriptor namespace) {
        this.namespace = namespace;
    }

    /** @param binary of QEMU, with all links resolved */
    static Jail build(Path binary) {
        Process process;
        try {
            process = new ProcessBuilder(List.of(
                            "unshare",
                            "--mount",
                            "--propagation",
                            "private",
                            "sh",
                            "-ec",
                            SCRIPT,
                            "sandglass",
                            binary.toString(),
                            READY))
                    .redirectErrorStream(true)
                    .start();
        } catch (IOException e) {
            throw new VmmFailed("the machines' file system could not be made", e);
        }
        try (BufferedReader output = process.inputReader(StandardCharsets.UTF_8)) {
            awaitReady(output);
            return new Jail(Linux.open(Path.of("/proc", Long.toString(process.pid()), "ns", "mnt"), Linux.O_RDONLY, 0));
        } catch (IOException e) {
            throw new VmmFailed("the machines' file system could not be made", e);
        } finally {
            process.destroyForcibly();
        }
    }

    private static void awaitReady(BufferedReader output) {
        CompletableFuture<String> line = new CompletableFuture<>();
        Thread.ofPlatform().daemon().name("jail-output").start(() -> {
            try {
                line.complete(String.valueOf(output.readLine()));
            } catch (IOException e) {
                line.completeExceptionally(e);
            }
        });
        try {
            String said = line.get(LIMIT.toMillis(), TimeUnit.MILLISECONDS);
            if (!said.equals(READY)) {
                throw new VmmFailed("the machines' file system could not be made: " + said);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new VmmFailed("interrupted while the machines' file system was made", e);
        } catch (ExecutionException | TimeoutException e) {
            throw new VmmFailed("the machines' file system could not be made", e);
        }
    }

    /** For nsenter, while this is open. */
    Path namespace() {
        return namespace.path();
    }

    @Override
    public void close() {
        namespace.close();
    }
}
