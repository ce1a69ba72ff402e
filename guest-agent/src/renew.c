#define _GNU_SOURCE
#include "renew.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "hostname.h"
#include "log.h"
#include "sockets.h"
#include "version.h"

#ifndef RNDRESEEDCRNG
#define RNDRESEEDCRNG _IO('R', 0x07)
#endif

static unsigned char current_token[TOKEN_SIZE];  // all zero until the first Renew
static bool owns_machine;
// Kept open: opening it would be a tenth of what a clone executes before its first answer.
static int random_fd = -1;

void renew_owns_machine(bool owns) {
    owns_machine = owns;
}

int renew_prepare(void) {
    if (random_fd < 0)
        random_fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    return random_fd < 0 ? -errno : 0;
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
    if (renew_prepare() < 0)
        return -errno;
    int status = ioctl(random_fd, RNDADDENTROPY, &pool) < 0 || ioctl(random_fd, RNDRESEEDCRNG) < 0 ? -errno : 0;
    explicit_bzero(&pool, sizeof pool);
    return status == -EPERM && !owns_machine ? 0 : status;
}

static int apply_hostname(struct text hostname) {
    char name[HOSTNAME_MAX + 1];
    int status = text_copy(hostname, name, sizeof name);
    return status == 0 && name[0] && owns_machine ? hostname_apply(name) : status;
}

// Every user process descends from PID 1: without a child there is none.
static bool has_children(void) {
    siginfo_t ignored;
    return waitid(P_ALL, 0, &ignored, WEXITED | WNOHANG | WNOWAIT) == 0;
}

// What cannot be reset is no reason to hold all else up.
static void reset_connections(uint16_t agent_port) {
    if (!owns_machine || !has_children())
        return;
    int status = sockets_reset(agent_port);
    if (status < 0)
        log_line("not all connections could be reset: %s", strerror(-status));
}

static bool failed(struct failure *failure, const char *what, int status) {
    return fail(failure, Failure_Code_INTERNAL, "cannot %s: %s", what, strerror(-status));
}

bool renew_apply(const Renew *renew, uint16_t agent_port, struct failure *failure) {
    int status;
    token_set(renew->token.data);
    if ((status = set_clock(renew->clock_unix_nanos)) < 0)
        return failed(failure, "set the clock", status);
    if ((status = reseed(renew->entropy)) < 0)
        return failed(failure, "reseed the random number generator", status);
    if ((status = apply_hostname(renew->hostname)) < 0)
        return failed(failure, "set the host name", status);
    if (PROTOCOL_MAX < 2 || !renew->keep_connections)
        reset_connections(agent_port);
    if (renew->thaw && (status = cgroup_freeze(false)) < 0)
        return failed(failure, "thaw the user processes", status);
    return true;
}
