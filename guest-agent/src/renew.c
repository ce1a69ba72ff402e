#define _GNU_SOURCE
#include "renew.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "log.h"

#ifndef RNDRESEEDCRNG
#define RNDRESEEDCRNG _IO('R', 0x07)
#endif

enum { HOSTNAME_MAX = 63 };

static unsigned char current_token[TOKEN_SIZE];  // all zero until the first Renew
static bool owns_machine;

void renew_owns_machine(bool owns) {
    owns_machine = owns;
}

void token_set(const unsigned char token[TOKEN_SIZE]) {
    memcpy(current_token, token, TOKEN_SIZE);
}

bool token_matches(struct text token) {
    if (token.size != TOKEN_SIZE)
        return false;
    volatile unsigned char difference = 0;
    for (size_t i = 0; i < TOKEN_SIZE; i++)
        difference |= token.data[i] ^ current_token[i];
    return difference == 0;
}

static bool is_hostname(struct text name) {
    if (name.size > HOSTNAME_MAX || (name.size > 0 && (name.data[0] == '-' || name.data[name.size - 1] == '-')))
        return false;
    for (size_t i = 0; i < name.size; i++) {
        unsigned char c = name.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return true;
}

bool renew_check(const Renew *renew, struct failure *failure) {
    if (renew->token.size != TOKEN_SIZE)
        return fail(failure, Failure_Code_BAD_REQUEST, "token must be %d bytes", TOKEN_SIZE);
    if (renew->entropy.size < ENTROPY_MIN || renew->entropy.size > ENTROPY_MAX)
        return fail(failure, Failure_Code_BAD_REQUEST, "entropy must be %d to %d bytes", ENTROPY_MIN, ENTROPY_MAX);
    if (renew->clock_unix_nanos <= 0)
        return fail(failure, Failure_Code_BAD_REQUEST, "clock_unix_nanos must be positive");
    if (!is_hostname(renew->hostname))
        return fail(failure, Failure_Code_BAD_REQUEST, "hostname must be at most %d characters of [a-z0-9-]", HOSTNAME_MAX);
    return true;
}

static int set_clock(int64_t unix_nanos) {
    struct timespec now = {.tv_sec = unix_nanos / 1000000000, .tv_nsec = unix_nanos % 1000000000};
    return owns_machine && clock_settime(CLOCK_REALTIME, &now) < 0 ? -errno : 0;
}

// Adds the entropy and has the generator use it at once: otherwise two clones would go on with the same key until
// the kernel's next reseeding.
static int reseed(struct text entropy) {
    struct {
        int entropy_count;
        int buf_size;
        unsigned char buf[ENTROPY_MAX];
    } pool = {.entropy_count = (int)entropy.size * 8, .buf_size = (int)entropy.size};
    memcpy(pool.buf, entropy.data, entropy.size);
    int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0 ? -errno : 0;
    close(fd);
    explicit_bzero(&pool, sizeof pool);
    return status == -EPERM && !owns_machine ? 0 : status;
}

static void write_text_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    if (n < 0)
        log_line("cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

int hostname_apply(const char *name) {
    char text[256];
    if (!owns_machine)
        return 0;
    if (sethostname(name, strlen(name)) < 0)
        return -errno;
    // Name resolution is a convenience: a read-only or full disk does not stop a sandbox.
    snprintf(text, sizeof text, "127.0.0.1\tlocalhost %s\n::1\tlocalhost ip6-localhost ip6-loopback\n", name);
    write_text_file("/etc/hosts", text);
    snprintf(text, sizeof text, "%s\n", name);
    write_text_file("/etc/hostname", text);
    return 0;
}

static int apply_hostname(struct text hostname) {
    char name[HOSTNAME_MAX + 1];
    int status = text_copy(hostname, name, sizeof name);
    return status == 0 && name[0] ? hostname_apply(name) : status;
}

static bool failed(struct failure *failure, const char *what, int status) {
    return fail(failure, Failure_Code_INTERNAL, "cannot %s: %s", what, strerror(-status));
}

bool renew_apply(const Renew *renew, struct failure *failure) {
    int status;
    token_set(renew->token.data);
    if ((status = set_clock(renew->clock_unix_nanos)) < 0)
        return failed(failure, "set the clock", status);
    if ((status = reseed(renew->entropy)) < 0)
        return failed(failure, "reseed the random number generator", status);
    if ((status = apply_hostname(renew->hostname)) < 0)
        return failed(failure, "set the host name", status);
    if (renew->thaw && (status = cgroup_freeze(false)) < 0)
        return failed(failure, "thaw the user processes", status);
    return true;
}
