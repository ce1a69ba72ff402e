package dev.sandglass.acceptance;

import java.nio.charset.StandardCharsets;
import java.util.Base64;

/**
 * A program in a guest that knows every byte it has: it writes patterns to pages of its own, zeroes some of them again,
 * holds pages that were something else in the template and have been zeroed since, appends to a file with fsync, writes
 * another one past the page cache, and looks at all of it in every round. It counts its rounds, and ends with what is
 * wrong as soon as a byte is.
 */
final class Oracle {
    private static final String PROGRAM = """
            import mmap, os, struct, sys, time
            PAGE, PAGES, ZEROED, CHANGED, FILES = 4096, *map(int, sys.argv[1:5])
            here = os.path.dirname(os.path.abspath(__file__))
            anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            memory, versions = mmap.mmap(-1, PAGES * PAGE, anonymous), [0] * PAGES
            open('/proc/sys/vm/drop_caches', 'w').write('3')
            zeroed, zero = mmap.mmap(-1, ZEROED * PAGE, anonymous), bytes(PAGE)
            for i in range(ZEROED):
                zeroed[i * PAGE] = 0
            buffer, logged = mmap.mmap(-1, 2 * PAGE, anonymous), b''
            if FILES:
                log = os.open(here + '/log', os.O_RDWR | os.O_CREAT | os.O_APPEND)
                direct = os.open(here + '/direct', os.O_RDWR | os.O_CREAT | os.O_DIRECT)
            count = os.open('/run/oracle-count', os.O_RDWR | os.O_CREAT)

            def pattern(page, version):
                return struct.pack('<QQ', page, version) * (PAGE // 16) if version else zero

            def require(true, what):
                if not true:
                    with open('/run/oracle-broken', 'w') as out:
                        out.write(f'round {n}: {what}')
                    sys.exit(1)

            n = 0
            while True:
                n += 1
                for k in range(CHANGED):
                    i = (n * 7919 + k * k) % PAGES
                    versions[i] = 0 if (n + k) % 3 == 0 else n
                    memory[i * PAGE:(i + 1) * PAGE] = pattern(i, versions[i])
                if FILES:
                    line = b'%d\\n' % n
                    os.write(log, line)
                    os.fsync(log)
                    logged += line
                    buffer[:PAGE], buffer[PAGE:] = pattern(1, n), pattern(2, n)
                    os.pwritev(direct, [buffer], n % 8 * 2 * PAGE)
                for i in range(PAGES):
                    require(memory[i * PAGE:(i + 1) * PAGE] == pattern(i, versions[i]), f'page {i} of its own')
                for i in range(ZEROED):
                    require(zeroed[i * PAGE:(i + 1) * PAGE] == zero, f'page {i} that was zeroed')
                if FILES:
                    if n % 4 == 0:
                        os.posix_fadvise(log, 0, 0, os.POSIX_FADV_DONTNEED)
                    require(os.pread(log, len(logged) + 1, 0) == logged, 'the file with fsync')
                    for m in range(max(1, n - 7), n + 1):
                        os.preadv(direct, [buffer], m % 8 * 2 * PAGE)
                        require(buffer[:] == pattern(1, m) + pattern(2, m), 'the file past the page cache')
                os.pwrite(count, b'%-12d\\n' % n, 0)
                time.sleep(0.03)
            """;

    private static final String NEXT_ROUNDS = """
            broken() { if [ -e /run/oracle-broken ]; then cat /run/oracle-broken >&2; exit 1; fi; }
            broken; read -r a </run/oracle-count; b=$a; i=0
            while [ "$b" -lt $((a + 2)) ]; do
                i=$((i + 1)); if [ $i -gt 3000 ]; then echo "it stands still at $b" >&2; exit 1; fi
                sleep 0.01; broken; read -r b </run/oracle-count || b=$a
            done
            echo "$a"
            """;

    /** That of a file which the program was appending to when its machine ended. */
    private static final String LOG_IS_WHOLE = """
            n=$(wc -l </opt/oracle/log); seq "$n" >/run/expected
            head -n "$n" /opt/oracle/log | cmp - /run/expected >&2 && echo "$n"
            """;

    private Oracle() {}

    /** Some 6 MB in 1500 pages: a round takes some 100 ms under emulation. */
    static void start(Guest guest) {
        start(guest, "1000 500 100 1");
    }

    static void startWithoutFiles(Guest guest) {
        start(guest, "1000 500 100 0");
    }

    /** @param sizes pages of its own, pages it keeps zeroed, pages changed in each round, whether it has files */
    private static void start(Guest guest, String sizes) {
        String program = Base64.getEncoder().encodeToString(PROGRAM.getBytes(StandardCharsets.UTF_8));
        var _ = guest.sh("""
                mkdir -p /opt/oracle && cd /opt/oracle && echo %s | base64 -d >oracle.py
                setsid python3 oracle.py %s </dev/null >/run/oracle-output 2>&1 &
                i=0
                until [ -s /run/oracle-count ]; do
                    i=$((i + 1)); if [ $i -gt 1500 ]; then cat /run/oracle-output >&2; exit 1; fi
                    sleep 0.02
                done
                """.formatted(program, sizes));
    }

    /** Waits for a whole round; gives how many it had done, which never goes back. Fails when a byte is wrong. */
    static int check(Guest guest) {
        return Integer.parseInt(guest.sh(NEXT_ROUNDS));
    }

    /** Fails unless it is at least as far as it was, {@code atLeast} rounds. */
    static int check(Guest guest, int atLeast) {
        int rounds = check(guest);
        if (rounds < atLeast) {
            throw new AssertionError("it has done " + rounds + " rounds and had done " + atLeast + " before");
        }
        return rounds;
    }

    /** How many lines its file has after its machine ended; fails when they are not the right ones. */
    static int fileAfterTheEnd(Guest guest) {
        return Integer.parseInt(guest.sh(LOG_IS_WHOLE));
    }
}
