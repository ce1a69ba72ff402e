#define _GNU_SOURCE
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "serve.h"
#include "worker.h"

enum {
    READ_AT_LEAST = 4096,
    OUT_FULL = 128 << 10,      // no more requests are taken while so much waits to be sent
    OUTPUT_CHUNK = 32 << 10,   // of one Output message
    OUTPUT_AHEAD = 64 << 10,   // encoded at once
    REPLY_MAX = FRAME_HEADER + FRAME_MAX,
    KEEPALIVE_SECONDS = 15,
};

static struct watch listener = {.fd = -1};
static struct connection *all[CONNECTIONS_MAX];
static bool refuse_local;

static void ready(struct watch *watch, uint32_t events);
static void parse(struct connection *c);

// ---- Closing

static void forget(struct connection *c) {
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (all[i] == c)
            all[i] = NULL;
}

void connection_close(struct connection *c) {
    if (c->state == CLOSED)
        return;
    if (c->state == EXEC)
        connection_leave_exec(c);
    // A worker holds the socket too: closing our descriptor alone would not end the connection.
    if (c->state == WORKING) {
        shutdown(c->watch.fd, SHUT_RDWR);
        worker_forget(c);
    }
    c->state = CLOSED;
    loop_close(&c->watch);
    timer_stop(&c->timer);
    timer_stop(&c->cork_timer);
    buffer_free(&c->in);
    buffer_free(&c->out);
    forget(c);
    loop_free_later(c);
}

void connection_close_others(struct connection *c) {
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (!all[i] || all[i] == c)
            continue;
        // A reset: the peer belongs to the past and may never answer.
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        setsockopt(all[i]->watch.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        connection_close(all[i]);
    }
}

static void linger_over(struct timer *timer) {
    connection_close(CONTAINER_OF(timer, struct connection, timer));
}

// ---- Sending

static void update_events(struct connection *c) {
    bool may_read = c->state != WORKING && c->state != FREEZING && c->out.size < OUT_FULL;
    uint32_t events = (may_read ? (uint32_t)EPOLLIN : 0) | (c->out.size > 0 ? (uint32_t)EPOLLOUT : 0);
    loop_change(&c->watch, events);
}

static void end_sending(struct connection *c) {
    if (c->state == LINGERING && c->out.size == 0)
        shutdown(c->watch.fd, SHUT_WR);
}

static void flush(struct connection *c) {
    while (c->out.size > 0) {
        ssize_t n = send(c->watch.fd, buffer_bytes(&c->out), c->out.size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            connection_close(c);
            return;
        }
        buffer_consume(&c->out, (size_t)n);
    }
    update_events(c);
    end_sending(c);
}

// Encodes into the output buffer, without sending.
static void append(struct connection *c, const Reply *reply, size_t size_max) {
    unsigned char *room = buffer_reserve(&c->out, size_max);
    ssize_t n = room ? codec_encode_reply(reply, room, buffer_room(&c->out)) : -ENOMEM;
    if (n < 0) {
        log_line("a reply of kind %d could not be encoded: %s", (int)reply->which_kind, strerror((int)-n));
        connection_close(c);
        return;
    }
    buffer_commit(&c->out, (size_t)n);
}

static size_t size_max_of(const Reply *reply) {
    bool large = reply->which_kind == Reply_execs_tag;
    return large ? REPLY_MAX : 2048;
}

void connection_reply(struct connection *c, const Reply *reply) {
    if (c->state == CLOSED)
        return;
    append(c, reply, size_max_of(reply));
    if (c->state != CLOSED && !c->batching)
        flush(c);
}

void connection_done(struct connection *c) {
    connection_reply(c, &(Reply){.which_kind = Reply_done_tag});
}

void connection_fail(struct connection *c, const struct failure *failure) {
    Reply reply = {.which_kind = Reply_failure_tag};
    reply.kind.failure = (Failure){.code = failure->code, .message = text_of(failure->message)};
    connection_reply(c, &reply);
}

void connection_linger(struct connection *c) {
    if (c->state == EXEC)
        connection_leave_exec(c);
    c->state = LINGERING;
    timer_start(&c->timer, LINGER_MILLIS, linger_over);
    update_events(c);
    end_sending(c);
}

void connection_fail_and_end(struct connection *c, const struct failure *failure) {
    connection_fail(c, failure);
    if (c->state != CLOSED)
        connection_linger(c);
}

void connection_flush_all(void) {
    loop_close(&listener);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (all[i])
            flush(all[i]);  // which closes what is broken
        if (all[i])
            connection_close(all[i]);
    }
}

// ---- Reading an exec

static void uncork(struct timer *timer) {
    struct connection *c = CONTAINER_OF(timer, struct connection, cork_timer);
    c->corked = false;
    if (c->state == EXEC)
        connection_exec_ready(c);
}

void connection_enter_exec(struct connection *c, struct exec *exec, bool cork) {
    c->state = EXEC;
    c->exec = exec;
    c->corked = cork;
    if (cork)
        timer_start(&c->cork_timer, CORK_MILLIS, uncork);
    Reply reply = {.which_kind = Reply_exec_started_tag};
    reply.kind.exec_started = (ExecStarted){.exec_id = text_of(exec->id), .pid = exec->pid};
    append(c, &reply, 512);
    if (c->state != CLOSED)
        connection_exec_ready(c);
}

void connection_leave_exec(struct connection *c) {
    struct exec *exec = c->exec;
    c->exec = NULL;
    c->corked = false;
    timer_stop(&c->cork_timer);
    c->state = IDLE;
    if (exec)
        exec_detach(exec);
}

static bool append_output(struct connection *c) {
    Reply reply = {.which_kind = Reply_output_tag};
    if (!exec_take_output(c->exec, &reply.kind.output, OUTPUT_CHUNK))
        return false;
    append(c, &reply, reply.kind.output.data.size + 64);
    return c->state == EXEC;
}

static bool append_input_report(struct connection *c) {
    Reply reply = {.which_kind = Reply_stdin_written_tag};
    if (!exec_take_input_report(c->exec, &reply.kind.stdin_written.total))
        return false;
    append(c, &reply, 64);
    return c->state == EXEC;
}

static bool append_exit(struct connection *c) {
    if (!c->exec->finished)
        return false;
    Reply reply = {.which_kind = Reply_exec_exited_tag};
    reply.kind.exec_exited = c->exec->exited;
    append(c, &reply, 64);
    if (c->state == EXEC)
        connection_leave_exec(c);
    return false;
}

// Encodes what the exec has for its reader, as long as that is sent as fast as it comes.
void connection_exec_ready(struct connection *c) {
    bool more = true;
    while (more && c->state == EXEC) {
        more = false;
        while (c->state == EXEC && c->out.size < OUTPUT_AHEAD) {
            more = append_input_report(c) || (c->state == EXEC && append_output(c)) ||
                   (c->state == EXEC && append_exit(c));
            if (!more)
                break;
        }
        if (c->state == CLOSED || (c->corked && c->out.size < OUTPUT_AHEAD))
            return;
        flush(c);
        more = more && c->state == EXEC && c->out.size == 0;
    }
}

// ---- Receiving

static void handle(struct connection *c, const unsigned char *message, size_t size) {
    Request request;
    struct failure failure;
    if (codec_decode_request(&request, message, size) < 0) {
        fail(&failure, Failure_Code_BAD_REQUEST, "the frame does not parse as a Request");
        connection_fail_and_end(c, &failure);
    } else {
        serve(c, &request);
    }
}

static bool takes_requests(const struct connection *c) {
    return (c->state == AWAIT_HELLO || c->state == IDLE || c->state == EXEC) && c->out.size < OUT_FULL;
}

// Carries out what has been received. False: the connection is closed.
static bool take_frames(struct connection *c) {
    size_t total;
    while (takes_requests(c)) {
        int whole = frame_peek(buffer_bytes(&c->in), c->in.size, &total);
        if (whole == 0)
            break;
        if (whole < 0) {
            struct failure failure;
            fail(&failure, Failure_Code_BAD_REQUEST, "a frame must be 1 to %d bytes long", FRAME_MAX);
            connection_fail_and_end(c, &failure);
            return c->state != CLOSED;
        }
        handle(c, buffer_bytes(&c->in) + FRAME_HEADER, total - FRAME_HEADER);
        if (c->state == CLOSED)
            return false;
        buffer_consume(&c->in, total);
    }
    return true;
}

// Replies to requests that came together leave together.
static void parse(struct connection *c) {
    bool full = true;
    while (full) {
        c->batching = true;
        if (!take_frames(c))
            return;
        c->batching = false;
        full = c->out.size >= OUT_FULL;
        if (c->state == WORKING)
            return;
        flush(c);
        if (c->state == EXEC)
            connection_exec_ready(c);  // what was held back by what has just been sent has no other cause to come
        full = full && c->state != CLOSED && c->out.size < OUT_FULL;
    }
}

static size_t wanted(const struct connection *c) {
    size_t total;
    if (frame_peek(buffer_bytes(&c->in), c->in.size, &total) != 0 || total < c->in.size + READ_AT_LEAST)
        return READ_AT_LEAST;
    return total - c->in.size;
}

// Reads and throws away, so that closing does not reset the connection under the host's last read.
static void read_nothing(struct connection *c) {
    static unsigned char scratch[16384];
    ssize_t n = recv(c->watch.fd, scratch, sizeof scratch, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        connection_close(c);
}

static void receive(struct connection *c) {
    unsigned char *room = buffer_reserve(&c->in, wanted(c));
    if (!room) {
        connection_close(c);
        return;
    }
    ssize_t n = recv(c->watch.fd, room, buffer_room(&c->in), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        connection_close(c);
        return;
    }
    if (n > 0) {
        buffer_commit(&c->in, (size_t)n);
        parse(c);
    }
}

static void send_more(struct connection *c) {
    flush(c);
    if (c->state == EXEC)
        connection_exec_ready(c);
    if (c->state != CLOSED)
        parse(c);
}

static void ready(struct watch *watch, uint32_t events) {
    struct connection *c = CONTAINER_OF(watch, struct connection, watch);
    if (events & EPOLLOUT)
        send_more(c);
    if (c->state == CLOSED || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    if (c->state == LINGERING)
        read_nothing(c);
    else if (c->state == FREEZING || c->out.size >= OUT_FULL)
        connection_close(c);  // only an error can be what is reported
    else
        receive(c);
}

void connection_suspend(struct connection *c, enum connection_state state) {
    c->state = state;
    if (state == WORKING)
        loop_remove(&c->watch);
    else
        update_events(c);
}

void connection_resume(struct connection *c) {
    if (!c->watch.ready && loop_add(&c->watch, c->watch.fd, EPOLLIN, ready) < 0) {
        connection_close(c);
        return;
    }
    c->state = IDLE;
    parse(c);
}

// ---- Accepting

static void hello_late(struct timer *timer) {
    struct connection *c = CONTAINER_OF(timer, struct connection, timer);
    struct failure failure;
    fail(&failure, Failure_Code_BAD_REQUEST, "no Hello within %d seconds", HELLO_MILLIS / 1000);
    connection_fail_and_end(c, &failure);
}

static struct connection *admit(int fd) {
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    if (loop_add(&c->watch, fd, EPOLLIN, ready) < 0) {
        free(c);
        return NULL;
    }
    timer_start(&c->timer, HELLO_MILLIS, hello_late);
    return c;
}

// Best effort: the socket buffer of a new connection is empty.
static void turn_away(int fd) {
    unsigned char frame[256];
    Reply reply = {.which_kind = Reply_failure_tag};
    reply.kind.failure = (Failure){.code = Failure_Code_EXHAUSTED, .message = text_of("too many connections")};
    ssize_t n = codec_encode_reply(&reply, frame, sizeof frame);
    if (n > 0)
        n = send(fd, frame, (size_t)n, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    close(fd);
}

// User processes have no business here, and could hold all connections.
static bool is_local(int fd, const struct sockaddr_in *peer) {
    struct sockaddr_in own = {0};
    socklen_t size = sizeof own;
    return getsockname(fd, (struct sockaddr *)&own, &size) < 0 || own.sin_addr.s_addr == peer->sin_addr.s_addr ||
           ntohl(peer->sin_addr.s_addr) >> 24 == 127;
}

static void accept_ready(struct watch *watch, uint32_t events) {
    (void)events;
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int fd = accept4(watch->fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (refuse_local && is_local(fd, &peer)) {
        close(fd);
        return;
    }
    size_t place = 0;
    while (place < CONNECTIONS_MAX && all[place])
        place++;
    struct connection *c = place < CONNECTIONS_MAX ? admit(fd) : NULL;
    if (!c) {
        turn_away(fd);
        return;
    }
    all[place] = c;
    ready(&c->watch, EPOLLIN);  // Hello is often there already
}

static void set(int fd, int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);
}

// Accepted sockets inherit these.
static void configure(int fd) {
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_SECONDS);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_SECONDS);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
}

int connection_listen(const char *address, uint16_t port) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, address, &where.sin_addr) != 1)
        return -EINVAL;
    refuse_local = where.sin_addr.s_addr == INADDR_ANY;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    configure(fd);
    if (bind(fd, (struct sockaddr *)&where, sizeof where) < 0 || listen(fd, CONNECTIONS_MAX) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return loop_add(&listener, fd, EPOLLIN, accept_ready);
}

uint16_t connection_port(void) {
    struct sockaddr_in own = {0};
    socklen_t size = sizeof own;
    return getsockname(listener.fd, (struct sockaddr *)&own, &size) < 0 ? 0 : ntohs(own.sin_port);
}
