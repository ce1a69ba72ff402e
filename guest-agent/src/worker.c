#define _GNU_SOURCE
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "session.h"

enum { WORKERS_MAX = CONNECTIONS_MAX + 16 };  // a few may outlive their connections for a moment

struct worker {
    pid_t pid;
    struct connection *connection;
};

static struct worker workers[WORKERS_MAX];
static struct session_result *results;  // one each, shared with the processes

int workers_init(void) {
    size_t size = WORKERS_MAX * sizeof *results;
    // What is left over is small and rare: memory for it is taken only then.
    results = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return results == MAP_FAILED ? -errno : 0;
}

static struct worker *unused_worker(void) {
    for (size_t i = 0; i < WORKERS_MAX; i++)
        if (workers[i].pid == 0)
            return &workers[i];
    return NULL;
}

// The pipes of execs must not stay open in here, or their ends would never be seen.
static void keep_only(int fd) {
    if (fd > 3)
        syscall(SYS_close_range, 3U, (unsigned)fd - 1, 0U);
    syscall(SYS_close_range, (unsigned)fd + 1, ~0U, 0U);
}

static _Noreturn void work(struct connection *c, const Request *request, struct session_result *result) {
    size_t total;
    frame_peek(buffer_bytes(&c->in), c->in.size, &total);
    keep_only(c->watch.fd);
    struct session session;
    session_open(&session, c->watch.fd, result);
    session.inherited = buffer_bytes(&c->in) + total;
    session.inherited_size = c->in.size - total;
    session_send_bytes(&session, buffer_bytes(&c->out), c->out.size);
    file_serve(&session, request);
    session_finish(&session);
    _exit(0);
}

bool worker_start(struct connection *c, const Request *request, struct failure *failure) {
    struct worker *worker = unused_worker();
    if (!worker)
        return fail(failure, Failure_Code_EXHAUSTED, "too many file operations at once");
    struct session_result *result = &results[worker - workers];
    result->outcome = SESSION_BROKEN;
    result->consumed = result->left_size = 0;
    pid_t pid = fork();
    if (pid < 0)
        return fail(failure, Failure_Code_EXHAUSTED, "cannot fork: %s", strerror(errno));
    if (pid == 0)
        work(c, request, result);
    *worker = (struct worker){.pid = pid, .connection = c};
    connection_suspend(c, WORKING);
    buffer_consume(&c->out, c->out.size);
    return true;
}

void worker_forget(struct connection *c) {
    for (size_t i = 0; i < WORKERS_MAX; i++)
        if (workers[i].connection == c)
            workers[i].connection = NULL;
}

// False: what has been sent after the operation cannot be kept.
static bool take_back(struct connection *c, const struct session_result *result) {
    if (result->consumed > c->in.size || result->left_size > sizeof result->left)
        return false;
    buffer_consume(&c->in, result->consumed);
    if (result->left_size == 0)
        return true;
    unsigned char *room = buffer_reserve(&c->in, result->left_size);
    if (!room)
        return false;
    memcpy(room, result->left, result->left_size);
    buffer_commit(&c->in, result->left_size);
    return true;
}

static void go_on(struct connection *c, const struct session_result *result) {
    if (result->outcome == SESSION_BROKEN || !take_back(c, result) || fcntl(c->watch.fd, F_SETFL, O_NONBLOCK) < 0) {
        connection_close(c);
        return;
    }
    connection_resume(c);
    if (result->outcome == SESSION_ENDED && c->state != CLOSED)
        connection_linger(c);
}

bool worker_reaped(pid_t pid, int status) {
    (void)status;  // one that died has said nothing, which is SESSION_BROKEN
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        if (workers[i].pid != pid)
            continue;
        struct connection *c = workers[i].connection;
        workers[i] = (struct worker){0};
        if (c)
            go_on(c, &results[i]);
        return true;
    }
    return false;
}
