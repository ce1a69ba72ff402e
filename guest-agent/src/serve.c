#include "serve.h"

#include <errno.h>
#include <string.h>

#include "cgroup.h"
#include "log.h"
#include "metrics.h"
#include "power.h"
#include "renew.h"
#include "version.h"
#include "worker.h"

// The C library makes this a macro; the protocol has a field of that name.
#undef stdin

enum {
    FREEZE_POLL_MILLIS = 1,  // at first; twice as long each time
    FREEZE_POLL_MILLIS_MAX = 16,
    FREEZE_MILLIS_MAX = 60000,
    SIGNAL_MAX = 64,
    EXECS_CHUNK = 64 << 10,
};

typedef struct connection Connection;

// For failures that end an operation, not the connection.
#define REFUSE(connection, ...)              \
    do {                                     \
        struct failure refusal;              \
        fail(&refusal, __VA_ARGS__);         \
        connection_fail(connection, &refusal); \
    } while (0)

// For failures after which the two sides may no longer agree on where they are.
#define REFUSE_AND_END(connection, ...)              \
    do {                                             \
        struct failure refusal;                      \
        fail(&refusal, __VA_ARGS__);                 \
        connection_fail_and_end(connection, &refusal); \
    } while (0)

// ---- Connection

static void serve_hello(Connection *c, const Request *request) {
    const Hello *hello = &request->kind.hello;
    if (!token_matches(hello->token)) {
        REFUSE_AND_END(c, Failure_Code_UNAUTHENTICATED, "the token is not the one of this sandbox");
        return;
    }
    if (hello->protocol_min > hello->protocol_max || hello->protocol_min > PROTOCOL_MAX ||
        hello->protocol_max < PROTOCOL_MIN) {
        REFUSE_AND_END(c, Failure_Code_UNSUPPORTED, "this agent speaks protocol %d to %d, the host %u to %u", PROTOCOL_MIN,
                       PROTOCOL_MAX, (unsigned)hello->protocol_min, (unsigned)hello->protocol_max);
        return;
    }
    timer_stop(&c->timer);
    c->state = IDLE;
    Reply reply = {.which_kind = Reply_welcome_tag};
    reply.kind.welcome.protocol = hello->protocol_max < PROTOCOL_MAX ? hello->protocol_max : PROTOCOL_MAX;
    reply.kind.welcome.agent_version = text_of(AGENT_VERSION);
    connection_reply(c, &reply);
}

static void serve_renew(Connection *c, const Request *request) {
    struct failure failure;
    if (!renew_check(&request->kind.renew, &failure)) {
        connection_fail(c, &failure);
        return;
    }
    // Where the guest has only stood still for a moment, so have those who talk to it.
    if (PROTOCOL_MAX < 2 || !request->kind.renew.keep_connections || !token_matches(request->kind.renew.token))
        connection_close_others(c);
    if (!renew_apply(&request->kind.renew, connection_port(), &failure)) {
        connection_fail(c, &failure);
        return;
    }
    Reply reply = {.which_kind = Reply_done_tag};
    if (PROTOCOL_MAX >= 2)
        reply.kind.done.clock_unix_nanos = clock_unix_nanos();
    connection_reply(c, &reply);
}

static void serve_freeze_result(Connection *c, int state) {
    if (state == 1)
        connection_done(c);
    else if (state < 0)
        REFUSE(c, Failure_Code_INTERNAL, "cannot read the cgroup's state: %s", strerror(-state));
    else
        REFUSE(c, Failure_Code_INTERNAL, "not all user processes could be frozen in time");
}

static void look_at_freezing(struct timer *timer);

static void look_again(Connection *c) {
    timer_start(&c->timer, c->freeze_poll, look_at_freezing);
    c->freeze_poll = c->freeze_poll < FREEZE_POLL_MILLIS_MAX ? 2 * c->freeze_poll : FREEZE_POLL_MILLIS_MAX;
}

static void look_at_freezing(struct timer *timer) {
    Connection *c = CONTAINER_OF(timer, Connection, timer);
    int state = cgroup_frozen_state();
    if (state == 0 && clock_millis() < c->freeze_deadline) {
        look_again(c);
        return;
    }
    c->state = IDLE;
    serve_freeze_result(c, state);
    if (c->state != CLOSED)
        connection_resume(c);
}

static void serve_freeze(Connection *c, const Request *request) {
    uint32_t timeout = request->kind.freeze.timeout_ms;
    if (timeout > FREEZE_MILLIS_MAX) {
        REFUSE(c, Failure_Code_BAD_REQUEST, "timeout_ms is at most %d", FREEZE_MILLIS_MAX);
        return;
    }
    int status = cgroup_freeze(true);
    int state = status < 0 ? status : cgroup_frozen_state();
    if (state != 0 || timeout == 0) {
        serve_freeze_result(c, state);
        return;
    }
    c->freeze_deadline = clock_millis() + timeout;
    c->freeze_poll = FREEZE_POLL_MILLIS;
    connection_suspend(c, FREEZING);
    look_again(c);
}

static void serve_thaw(Connection *c) {
    int status = cgroup_freeze(false);
    if (status < 0)
        REFUSE(c, Failure_Code_INTERNAL, "cannot thaw the user processes: %s", strerror(-status));
    else
        connection_done(c);
}

// ---- Exec

static void serve_start_exec(Connection *c, const Request *request) {
    struct exec *exec;
    struct failure failure;
    if (exec_start(&request->kind.start_exec, c, &exec, &failure))
        connection_enter_exec(c, exec, true);
    else
        connection_fail(c, &failure);
}

static void serve_attach_exec(Connection *c, const Request *request) {
    const AttachExec *attach = &request->kind.attach_exec;
    struct exec *exec = exec_find(attach->exec_id);
    if (!exec) {
        REFUSE(c, Failure_Code_NOT_FOUND, "no such exec");
        return;
    }
    if (attach->after_seq > exec->ring.end) {
        REFUSE(c, Failure_Code_BAD_REQUEST, "after_seq is greater than the %llu bytes of output there are",
               (unsigned long long)exec->ring.end);
        return;
    }
    struct connection *other = exec->reader;
    if (other) {
        connection_leave_exec(other);
        connection_done(other);
    }
    exec_attach(exec, c, attach->after_seq);
    connection_enter_exec(c, exec, false);
}

static void serve_stdin(Connection *c, const Request *request) {
    if (!exec_input(c->exec, request->kind.stdin.data)) {
        REFUSE_AND_END(c, Failure_Code_BAD_REQUEST, "more stdin than the %d bytes that may be under way", STDIN_WINDOW);
        return;
    }
    connection_exec_ready(c);
}

static void serve_resize(Connection *c, const Request *request) {
    const Resize *resize = &request->kind.resize;
    if (resize->cols == 0 || resize->cols > UINT16_MAX || resize->rows == 0 || resize->rows > UINT16_MAX)
        REFUSE_AND_END(c, Failure_Code_BAD_REQUEST, "cols and rows must be 1 to 65535");
    else
        exec_resize(c->exec, resize->cols, resize->rows);
}

static void serve_signal(Connection *c, const Request *request) {
    int32_t number = request->kind.signal.number;
    if (number < 1 || number > SIGNAL_MAX)
        REFUSE_AND_END(c, Failure_Code_BAD_REQUEST, "a signal is 1 to %d", SIGNAL_MAX);
    else
        exec_signal(c->exec, number);
}

static void serve_acknowledge(Connection *c, const Request *request) {
    if (!exec_acknowledge(c->exec, request->kind.acknowledge.seq))
        REFUSE_AND_END(c, Failure_Code_BAD_REQUEST, "output is acknowledged that was not sent");
}

static void serve_detach(Connection *c) {
    if (c->state == EXEC)
        connection_leave_exec(c);
    connection_done(c);
}

static void serve_signal_exec(Connection *c, const Request *request) {
    const SignalExec *signal = &request->kind.signal_exec;
    struct exec *exec = exec_find(signal->exec_id);
    if (signal->number < 1 || signal->number > SIGNAL_MAX)
        REFUSE(c, Failure_Code_BAD_REQUEST, "a signal is 1 to %d", SIGNAL_MAX);
    else if (!exec || exec_signal(exec, signal->number) < 0)
        REFUSE(c, Failure_Code_NOT_FOUND, "no such exec is running");
    else
        connection_done(c);
}

static ssize_t encode_info(const struct exec *exec, unsigned char *to, size_t capacity) {
    ExecInfo info = {.exec_id = text_of(exec->id), .pid = exec->pid, .pty = exec->pty,
                     .started_unix_nanos = exec->started_unix_nanos, .running = exec->running,
                     .has_exited = !exec->running, .exited = exec->exited};
    for (size_t at = 0; at < exec->argv_size;) {
        struct text argument = text_of((const char *)exec->argv + at);
        if (!texts_append(&info.argv, argument))
            break;
        at += argument.size + 1;
    }
    return codec_encode_exec_info(&info, to, capacity);
}

static void serve_list_execs(Connection *c) {
    static unsigned char encoded[EXECS_CHUNK];
    const struct exec *exec = exec_first();
    do {
        Reply reply = {.which_kind = Reply_execs_tag};
        size_t used = 0;
        texts_pool_reset();
        for (; exec; exec = exec->next) {
            if (exec->unlisted)
                continue;
            ssize_t n = encode_info(exec, encoded + used, sizeof encoded - used);
            if (n < 0 || !texts_append(&reply.kind.execs.execs, (struct text){encoded + used, (size_t)n}))
                break;
            used += (size_t)n;
        }
        reply.kind.execs.last = exec == NULL;
        connection_reply(c, &reply);
    } while (exec && c->state != CLOSED);
}

// ---- Machine

static void serve_metrics(Connection *c) {
    Reply reply = {.which_kind = Reply_metrics_tag};
    metrics_read(&reply.kind.metrics);
    connection_reply(c, &reply);
}

static void serve_power_off(Connection *c) {
    connection_done(c);
    power_off();
}

// ---- Which request may come when

static void serve_idle(Connection *c, const Request *request) {
    struct failure failure;
    switch (request->which_kind) {
    case Request_ping_tag:
        connection_done(c);
        break;
    case Request_renew_tag:
        serve_renew(c, request);
        break;
    case Request_freeze_tag:
        serve_freeze(c, request);
        break;
    case Request_thaw_tag:
        serve_thaw(c);
        break;
    case Request_start_exec_tag:
        serve_start_exec(c, request);
        break;
    case Request_attach_exec_tag:
        serve_attach_exec(c, request);
        break;
    case Request_list_execs_tag:
        serve_list_execs(c);
        break;
    case Request_signal_exec_tag:
        serve_signal_exec(c, request);
        break;
    case Request_detach_tag:
        serve_detach(c);
        break;
    case Request_stdin_tag:
    case Request_close_stdin_tag:
    case Request_resize_tag:
    case Request_signal_tag:
    case Request_acknowledge_tag:
        break;  // for a process that has just ended
    case Request_write_file_tag:
    case Request_read_file_tag:
    case Request_list_directory_tag:
    case Request_make_directory_tag:
    case Request_move_tag:
    case Request_remove_tag:
        if (!worker_start(c, request, &failure))
            connection_fail_and_end(c, &failure);
        break;
    case Request_read_metrics_tag:
        serve_metrics(c);
        break;
    case Request_power_off_tag:
        serve_power_off(c);
        break;
    case Request_data_tag:
        REFUSE_AND_END(c, Failure_Code_BAD_REQUEST, "Data without a write_file");
        break;
    case Request_hello_tag:
        REFUSE_AND_END(c, Failure_Code_BAD_REQUEST, "a second Hello");
        break;
    default:
        REFUSE(c, Failure_Code_UNSUPPORTED, "this agent does not know the request");
        break;
    }
}

static void serve_in_exec(Connection *c, const Request *request) {
    switch (request->which_kind) {
    case Request_stdin_tag:
        serve_stdin(c, request);
        break;
    case Request_close_stdin_tag:
        exec_close_input(c->exec);
        break;
    case Request_resize_tag:
        serve_resize(c, request);
        break;
    case Request_signal_tag:
        serve_signal(c, request);
        break;
    case Request_acknowledge_tag:
        serve_acknowledge(c, request);
        break;
    case Request_detach_tag:
        serve_detach(c);
        break;
    default:
        REFUSE_AND_END(c, Failure_Code_BAD_REQUEST, "the request cannot come while an exec is being read");
        break;
    }
}

void serve(Connection *c, const Request *request) {
    if (c->state == AWAIT_HELLO && request->which_kind == Request_hello_tag)
        serve_hello(c, request);
    else if (c->state == AWAIT_HELLO)
        REFUSE_AND_END(c, Failure_Code_BAD_REQUEST, "a connection begins with Hello");
    else if (c->state == EXEC)
        serve_in_exec(c, request);
    else
        serve_idle(c, request);
}
