#define _GNU_SOURCE
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arguments.h"
#include "cgroup.h"
#include "connection.h"
#include "log.h"
#include "pipes.h"
#include "spawn.h"
#include "terminal.h"
#include "version.h"

enum {
    ARGV_LISTED_MAX = 4096,
    DISCARD_SIZE = 65536,
    END_OF_TRANSMISSION = 4,  // ^D, what ends the input of a terminal
};

static struct exec *execs;  // newest first
static size_t running_count;
static unsigned char discarded[DISCARD_SIZE];

static void source_ready(struct watch *watch, uint32_t events);
static void input_ready(struct watch *watch, uint32_t events);

struct exec *exec_first(void) {
    return execs;
}

size_t exec_running_count(void) {
    return running_count;
}

struct exec *exec_find(struct text id) {
    for (struct exec *exec = execs; exec; exec = exec->next)
        if (text_equals(id, exec->id))
            return exec;
    return NULL;
}

static struct exec *find_pid(pid_t pid) {
    for (struct exec *exec = execs; exec; exec = exec->next)
        if (exec->running && exec->pid == pid)
            return exec;
    return NULL;
}

// ---- The end of an exec

static void close_source(struct source *source) {
    loop_close(&source->watch);
    source->open = false;
    source->paused = false;
}

static void close_input(struct exec *exec) {
    if (!exec->input_open)
        return;
    loop_close(&exec->input);
    exec->input_open = false;
    buffer_free(&exec->input_pending);
}

static void forget(struct exec *exec) {
    for (struct exec **link = &execs; *link; link = &(*link)->next)
        if (*link == exec) {
            *link = exec->next;
            break;
        }
    close_source(&exec->sources[0]);
    close_source(&exec->sources[1]);
    close_input(exec);
    timer_stop(&exec->timeout);
    timer_stop(&exec->drain);
    ring_free(&exec->ring);
    free(exec->argv);
    exec->argv = NULL;
    loop_free_later(exec);
}

// Keeps the newest finished ones, as many and as much as the limits say, and those that are being read.
static void forget_old(void) {
    size_t count = 0, bytes = 0;
    for (struct exec *exec = execs, *next; exec; exec = next) {
        next = exec->next;
        if (!exec->finished)
            continue;
        count++;
        bytes += exec->ring.capacity;
        bool over = exec->unlisted || count > EXECS_FINISHED_MAX || bytes > EXECS_FINISHED_BYTES_MAX;
        if (over && !exec->reader) {
            count--;
            bytes -= exec->ring.capacity;
            forget(exec);
        }
    }
}

// A background process may go on holding the output: what it writes is read and thrown away, so that it is
// neither blocked nor killed by SIGPIPE as long as the exec is remembered.
static void keep_emptying(struct source *source) {
    if (source->open && source->paused) {
        source->paused = false;
        if (loop_add(&source->watch, source->watch.fd, EPOLLIN, source_ready) < 0)
            close_source(source);
    }
}

static void finish(struct exec *exec) {
    if (exec->finished)
        return;
    exec->finished = true;
    exec->exited.last_seq = exec->ring.end;
    timer_stop(&exec->drain);
    keep_emptying(&exec->sources[0]);
    keep_emptying(&exec->sources[1]);
}

static bool is_drained(const struct source *source) {
    return !source->open || source->quota == 0;
}

static void finish_if_drained(struct exec *exec) {
    if (!exec->running && is_drained(&exec->sources[0]) && is_drained(&exec->sources[1]))
        finish(exec);
}

// ---- Output

// The first byte that may not be overwritten.
static uint64_t floor_of(const struct exec *exec) {
    return exec->reader ? exec->acknowledged : exec->ring.end;
}

static void pause_source(struct source *source) {
    // Not just an empty set of events: a closed writer would be reported again and again.
    loop_remove(&source->watch);
    source->paused = true;
}

static void discard(struct source *source) {
    ssize_t n = read(source->watch.fd, discarded, sizeof discarded);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close_source(source);
}

// Reads once. False: there is nothing more to read now.
static bool read_source(struct source *source) {
    struct exec *exec = source->exec;
    if (!source->open || source->paused || source->quota == 0)
        return false;
    size_t size;
    unsigned char *space = ring_space(&exec->ring, floor_of(exec), &size);
    if (!space) {
        pause_source(source);
        return false;
    }
    if (source->quota > 0 && (uint64_t)source->quota < size)
        size = (size_t)source->quota;
    ssize_t n = read(source->watch.fd, space, size);
    if (n <= 0) {
        // A terminal whose other side is closed says EIO.
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            close_source(source);
        return false;
    }
    ring_commit(&exec->ring, source->stream, (size_t)n);
    if (source->quota > 0)
        source->quota -= n;
    return true;
}

static void tell_reader(struct exec *exec) {
    if (exec->reader)
        connection_exec_ready(exec->reader);
    if (exec->finished)
        forget_old();
}

static void source_ready(struct watch *watch, uint32_t events) {
    (void)events;
    struct source *source = CONTAINER_OF(watch, struct source, watch);
    struct exec *exec = source->exec;
    if (exec->finished) {
        discard(source);
        return;
    }
    read_source(source);
    finish_if_drained(exec);
    tell_reader(exec);
}

static void resume_source(struct source *source) {
    if (!source->paused)
        return;
    source->paused = false;
    if (loop_add(&source->watch, source->watch.fd, EPOLLIN, source_ready) < 0)
        close_source(source);
}

static void resume_sources(struct exec *exec) {
    resume_source(&exec->sources[0]);
    resume_source(&exec->sources[1]);
}

bool exec_take_output(struct exec *exec, Output *output, size_t max) {
    if (exec->sent < exec->ring.begin)
        exec->sent = exec->ring.begin;
    if (exec->sent >= exec->ring.end)
        return false;
    int stream;
    size_t size;
    const unsigned char *data = ring_peek(&exec->ring, exec->sent, &stream, &size);
    if (size > max)
        size = max;
    exec->sent += size;
    *output = (Output){.stream = (Stream)stream, .seq = exec->sent, .data = {data, size}};
    return true;
}

bool exec_acknowledge(struct exec *exec, uint64_t seq) {
    if (seq > exec->sent)
        return false;
    if (seq > exec->acknowledged)
        exec->acknowledged = seq;
    resume_sources(exec);
    return true;
}

void exec_attach(struct exec *exec, struct connection *reader, uint64_t after_seq) {
    exec->reader = reader;
    exec->sent = after_seq < exec->ring.begin ? exec->ring.begin : after_seq;
    exec->acknowledged = exec->sent;
    exec->input_base = exec->input_reported = exec->input_written + exec->input_pending.size;
}

void exec_detach(struct exec *exec) {
    exec->reader = NULL;
    resume_sources(exec);
    if (exec->finished)
        forget_old();
}

// ---- Input

bool exec_take_input_report(struct exec *exec, uint64_t *total) {
    if (exec->input_written < exec->input_reported + STDIN_REPORT)
        return false;
    exec->input_reported = exec->input_written;
    *total = exec->input_written - exec->input_base;
    return true;
}

static void write_input(struct exec *exec) {
    while (exec->input_open && exec->input_pending.size > 0) {
        ssize_t n = write(exec->input.fd, buffer_bytes(&exec->input_pending), exec->input_pending.size);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        // A process that has closed its input gets no more of it; what is sent counts as written.
        size_t done = n < 0 ? exec->input_pending.size : (size_t)n;
        exec->input_written += done;
        buffer_consume(&exec->input_pending, done);
        if (n < 0)
            close_input(exec);
    }
    if (exec->input_open && exec->input_pending.size == 0) {
        loop_remove(&exec->input);
        if (exec->input_closing)
            close_input(exec);
    }
}

static void input_ready(struct watch *watch, uint32_t events) {
    (void)events;
    struct exec *exec = CONTAINER_OF(watch, struct exec, input);
    write_input(exec);
    tell_reader(exec);
}

static void append_input(struct exec *exec, struct text data) {
    unsigned char *room = buffer_reserve(&exec->input_pending, data.size);
    if (!room) {
        close_input(exec);
        return;
    }
    memcpy(room, data.data, data.size);
    buffer_commit(&exec->input_pending, data.size);
    write_input(exec);
    if (exec->input_open && exec->input_pending.size > 0 && !exec->input.ready &&
        loop_add(&exec->input, exec->input.fd, EPOLLOUT, input_ready) < 0)
        close_input(exec);
}

bool exec_input(struct exec *exec, struct text data) {
    if (exec->input_pending.size + data.size > STDIN_WINDOW)
        return false;
    if (!exec->input_open || exec->input_closing)
        exec->input_written += data.size;
    else if (data.size > 0)
        append_input(exec, data);
    return true;
}

void exec_close_input(struct exec *exec) {
    static const unsigned char end = END_OF_TRANSMISSION;
    if (!exec->input_open || exec->input_closing)
        return;
    // A terminal has one file for both directions: only the process can be told.
    if (exec->pty) {
        append_input(exec, (struct text){&end, 1});
        return;
    }
    exec->input_closing = true;
    write_input(exec);
}

void exec_resize(struct exec *exec, uint32_t cols, uint32_t rows) {
    if (exec->pty && exec->sources[0].open)
        terminal_resize(exec->sources[0].watch.fd, cols, rows);
}

int exec_signal(struct exec *exec, int number) {
    // Once the leader is reaped its number may belong to somebody else.
    if (!exec->running)
        return -ESRCH;
    return kill(-exec->pid, number) < 0 ? -errno : 0;
}

// ---- The end of the process

static void drain_over(struct timer *timer) {
    struct exec *exec = CONTAINER_OF(timer, struct exec, drain);
    for (int i = 0; i < 2; i++) {
        struct source *source = &exec->sources[i];
        int left = 0;
        if (source->open && ioctl(source->watch.fd, FIONREAD, &left) < 0)
            left = 0;
        // What was written in time is still read, however slow the reader is; what comes later is not.
        source->quota = left;
    }
    finish_if_drained(exec);
    tell_reader(exec);
}

static void record_status(struct exec *exec, int status) {
    if (WIFSIGNALED(status)) {
        exec->exited.signal = WTERMSIG(status);
        exec->exited.exit_code = 128 + WTERMSIG(status);
    } else {
        exec->exited.exit_code = WEXITSTATUS(status);
    }
}

bool exec_reaped(pid_t pid, int status) {
    struct exec *exec = find_pid(pid);
    if (!exec)
        return false;
    exec->running = false;
    running_count--;
    record_status(exec, status);
    timer_stop(&exec->timeout);
    close_input(exec);
    while (read_source(&exec->sources[0]) || read_source(&exec->sources[1]))
        ;
    finish_if_drained(exec);
    if (!exec->finished)
        timer_start(&exec->drain, DRAIN_MILLIS, drain_over);
    tell_reader(exec);
    return true;
}

static void timed_out(struct timer *timer) {
    struct exec *exec = CONTAINER_OF(timer, struct exec, timeout);
    exec->exited.timed_out = true;
    exec_signal(exec, SIGKILL);
}

void exec_kill_all(void) {
    for (struct exec *exec = execs; exec; exec = exec->next)
        exec_signal(exec, SIGKILL);
}

// ---- The start

static void watch_source(struct exec *exec, int index, int *fd, int stream) {
    struct source *source = &exec->sources[index];
    *source = (struct source){.exec = exec, .stream = stream, .quota = -1, .watch = {.fd = -1}};
    if (*fd < 0)
        return;
    source->open = true;
    if (loop_add(&source->watch, *fd, EPOLLIN, source_ready) < 0) {
        source->watch.fd = *fd;
        close_source(source);
    }
    *fd = -1;
}

static void take_pipes(struct exec *exec, struct pipes *pipes) {
    watch_source(exec, 0, &pipes->output[0], exec->pty ? Stream_PTY : Stream_STDOUT);
    watch_source(exec, 1, &pipes->error[0], Stream_STDERR);
    exec->input.fd = pipes->input[0];
    exec->input_open = pipes->input[0] >= 0;
    pipes->input[0] = -1;
}

// The exec's own copy of argv, for listings.
static void keep_argv(struct exec *exec, char *const *argv) {
    exec->argv = malloc(ARGV_LISTED_MAX);
    if (!exec->argv)
        return;
    for (; *argv && exec->argv_size < ARGV_LISTED_MAX; argv++) {
        size_t left = ARGV_LISTED_MAX - exec->argv_size;
        exec->argv_size += text_printable(text_of(*argv), (char *)exec->argv + exec->argv_size, left) + 1;
    }
    unsigned char *smaller = realloc(exec->argv, exec->argv_size);
    if (smaller)
        exec->argv = smaller;
}

static const char *step_text(enum spawn_step step) {
    switch (step) {
    case SPAWN_CREDENTIALS:
        return "cannot become the user for";
    case SPAWN_TERMINAL:
        return "cannot set up input and output of";
    case SPAWN_DIRECTORY:
        return "cannot enter the working directory of";
    default:
        return "cannot run";
    }
}

static void report_failed_spawn(struct exec *exec, const struct spawn *spawn) {
    char message[512];
    char name[300];
    text_printable(text_of(spawn->argv[0]), name, sizeof name);
    int length = snprintf(message, sizeof message, "sandglass: %s %s: %s%s\n", step_text(spawn->failed), name,
                          strerror(spawn->failure), exec->pty ? "\r" : "");
    size_t size;
    unsigned char *space = ring_space(&exec->ring, 0, &size);
    if (!space || size < (size_t)length)
        return;
    memcpy(space, message, (size_t)length);
    ring_commit(&exec->ring, exec->pty ? Stream_PTY : Stream_STDERR, (size_t)length);
}

static bool is_id(struct text id) {
    if (id.size == 0 || id.size > EXEC_ID_MAX)
        return false;
    for (size_t i = 0; i < id.size; i++) {
        unsigned char c = id.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return true;
}

static bool check_start(const StartExec *start, struct failure *failure) {
    if (!is_id(start->exec_id))
        return fail(failure, Failure_Code_BAD_REQUEST, "exec_id must be 1 to %d characters of [A-Za-z0-9_-]",
                    EXEC_ID_MAX);
    if (exec_find(start->exec_id))
        return fail(failure, Failure_Code_ALREADY_EXISTS, "this exec_id is in use");
    if (start->cwd.size > 0 && start->cwd.data[0] != '/')
        return fail(failure, Failure_Code_BAD_REQUEST, "cwd must be absolute");
    if (start->has_pty && !terminal_size_is_valid(start->pty.cols, start->pty.rows))
        return fail(failure, Failure_Code_BAD_REQUEST, "cols and rows must be 1 to 65535");
    if (running_count >= EXECS_RUNNING_MAX)
        return fail(failure, Failure_Code_EXHAUSTED, "%d execs are running already", EXECS_RUNNING_MAX);
    if (cgroup_is_frozen())
        return fail(failure, PROTOCOL_MAX >= 2 ? Failure_Code_FROZEN : Failure_Code_BAD_REQUEST, "user processes are frozen");
    return true;
}

static bool find_user(const StartExec *start, struct user *user, struct failure *failure) {
    int status = users_find(start->user, user);
    if (status == 0)
        return true;
    char name[USER_TEXT_MAX];
    text_printable(start->user, name, sizeof name);
    return fail(failure, Failure_Code_NOT_FOUND, "there is no user %s", name);
}

static struct exec *new_exec(const StartExec *start) {
    struct exec *exec = calloc(1, sizeof *exec);
    if (!exec)
        return NULL;
    text_copy(start->exec_id, exec->id, sizeof exec->id);
    exec->pty = start->has_pty;
    exec->unlisted = PROTOCOL_MAX >= 2 && start->unlisted;
    exec->started_unix_nanos = clock_unix_nanos();
    exec->sources[0].watch.fd = exec->sources[1].watch.fd = exec->input.fd = -1;
    return exec;
}

static void run_exec(struct exec *exec, const StartExec *start, const struct spawn *spawn) {
    exec->running = true;
    running_count++;
    exec->next = execs;
    execs = exec;
    keep_argv(exec, spawn->argv);
    if (spawn->failed != SPAWN_OK)
        report_failed_spawn(exec, spawn);
    if (start->timeout_ms > 0)
        timer_start(&exec->timeout, start->timeout_ms, timed_out);
}

static bool launch(const StartExec *start, struct exec *exec, const struct arguments *arguments,
                   const struct user *user, struct failure *failure) {
    char directory[4096];
    struct pipes pipes;
    int status = text_copy(start->cwd, directory, sizeof directory);
    if (status < 0)
        return fail_errno(failure, -status, "use working directory", start->cwd);
    status = pipes_open(&pipes, start, user->uid);
    struct spawn spawn_plan = {
        .argv = arguments->argv,
        .envp = arguments->envp,
        .path = arguments->path,
        .directory = start->cwd.size > 0 ? directory : user->home,
        .directory_optional = start->cwd.size == 0,
        .input = exec->pty ? pipes.output[1] : pipes.input[1],
        .output = pipes.output[1],
        .error = exec->pty ? pipes.output[1] : pipes.error[1],
        .terminal = exec->pty,
        .user = user,
        .cgroup = cgroup_user_fd(),
    };
    exec->pid = status < 0 ? status : spawn(&spawn_plan);
    pipes_close(&pipes, 1);
    if (exec->pid > 0) {
        take_pipes(exec, &pipes);
        run_exec(exec, start, &spawn_plan);
    }
    pipes_close(&pipes, 0);
    return exec->pid > 0 ? true : fail_errno(failure, -exec->pid, "start", start->argv.first->text);
}

bool exec_start(const StartExec *start, struct connection *reader, struct exec **started, struct failure *failure) {
    struct user user;
    struct arguments arguments = {0};
    if (!check_start(start, failure) || !find_user(start, &user, failure) ||
        !arguments_make(&arguments, start, &user, failure))
        return false;
    struct exec *exec = new_exec(start);
    bool done = exec ? launch(start, exec, &arguments, &user, failure)
                     : fail(failure, Failure_Code_EXHAUSTED, "no memory for another exec");
    arguments_free(&arguments);
    if (!done) {
        free(exec);
        return false;
    }
    exec->reader = reader;
    *started = exec;
    return true;
}
