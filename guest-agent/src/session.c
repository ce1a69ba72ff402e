#define _GNU_SOURCE
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static unsigned char sending[FRAME_HEADER + FRAME_MAX];
static unsigned char received[SESSION_BUFFER];

void session_open(struct session *session, int fd, struct session_result *result) {
    memset(session, 0, sizeof *session);
    session->fd = fd;
    session->result = result;
    session->outcome = SESSION_USABLE;
    struct timeval stall = {.tv_sec = SESSION_STALL_SECONDS};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof stall);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof stall);
    // The file description is shared with the agent, which does not touch it meanwhile and changes it back.
    fcntl(fd, F_SETFL, 0);
}

void session_finish(struct session *session) {
    struct session_result *result = session->result;
    result->left_size = session->outcome == SESSION_USABLE ? session->end - session->start : 0;
    memcpy(result->left, received + session->start, result->left_size);
    result->outcome = session->outcome;
}

static bool broken(struct session *session) {
    session->outcome = SESSION_BROKEN;
    return false;
}

static size_t take_inherited(struct session *session, unsigned char *to, size_t size) {
    size_t n = size < session->inherited_size ? size : session->inherited_size;
    if (n > 0)
        memcpy(to, session->inherited, n);
    session->inherited += n;
    session->inherited_size -= n;
    session->result->consumed += n;
    return n;
}

// Receives until there are `size` bytes; of what the agent had received, only those.
static bool require_bytes(struct session *session, size_t size) {
    size_t held = session->end - session->start;
    if (session->start + size > sizeof received || held == 0) {
        memmove(received, received + session->start, held);
        session->start = 0;
        session->end = held;
    }
    if (held < size)
        session->end += take_inherited(session, received + session->end, size - held);
    while (session->end - session->start < size) {
        ssize_t n = recv(session->fd, received + session->end, sizeof received - session->end, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return broken(session);
        session->end += (size_t)n;
    }
    return true;
}

static bool bad_frame(struct session *session, const char *what) {
    struct failure failure;
    fail(&failure, Failure_Code_BAD_REQUEST, "%s", what);
    return session_fail_and_end(session, &failure);
}

bool session_receive(struct session *session, Request *request) {
    if (session->outcome != SESSION_USABLE || !require_bytes(session, FRAME_HEADER))
        return false;
    size_t length = frame_length(received + session->start);
    if (length == 0 || length > FRAME_MAX)
        return bad_frame(session, "a frame is empty or too long");
    if (!require_bytes(session, FRAME_HEADER + length))
        return false;
    const unsigned char *message = received + session->start + FRAME_HEADER;
    session->start += FRAME_HEADER + length;
    if (codec_decode_request(request, message, length) < 0)
        return bad_frame(session, "the frame does not parse as a Request");
    return true;
}

bool session_holds_request(const struct session *session) {
    size_t held = session->end - session->start;
    return held >= FRAME_HEADER && held - FRAME_HEADER >= frame_length(received + session->start);
}

static bool send_some(struct session *session, const unsigned char *bytes, size_t size, int flags) {
    while (size > 0) {
        ssize_t n = send(session->fd, bytes, size, MSG_NOSIGNAL | flags);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return broken(session);
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

bool session_send_bytes(struct session *session, const unsigned char *bytes, size_t size) {
    return send_some(session, bytes, size, 0);
}

// As sendfile; by hand on file systems whose files the kernel cannot send by itself.
static ssize_t send_piece(struct session *session, int file, off_t *at, size_t n) {
    ssize_t sent = sendfile(session->fd, file, at, n);
    if (sent >= 0 || (errno != EINVAL && errno != ENOSYS))
        return sent;
    sent = pread(file, sending, n < sizeof sending ? n : sizeof sending, *at);
    if (sent <= 0)
        return sent;
    if (!session_send_bytes(session, sending, (size_t)sent)) {
        errno = EPIPE;
        return -1;
    }
    *at += sent;
    return sent;
}

// What has been promised is sent, whatever it is: only behind it can be said that it is none of the file.
static bool fill_up(struct session *session, size_t n) {
    memset(sending, 0, sizeof sending);
    while (n > 0) {
        size_t part = n < sizeof sending ? n : sizeof sending;
        if (!session_send_bytes(session, sending, part))
            return false;
        n -= part;
    }
    return false;
}

bool session_send_file(struct session *session, int file, uint64_t from, size_t n, int *error) {
    unsigned char head[DATA_HEAD_MAX];
    off_t at = (off_t)from;
    off_t end = at + (off_t)n;
    if (!send_some(session, head, codec_encode_data_head(n, head), MSG_MORE))
        return false;
    while (at < end) {
        ssize_t sent = send_piece(session, file, &at, (size_t)(end - at));
        if (sent > 0 || (sent < 0 && errno == EINTR))
            continue;
        *error = sent < 0 ? errno : 0;
        return fill_up(session, (size_t)(end - at));
    }
    return true;
}

bool session_send(struct session *session, const Reply *reply) {
    ssize_t n = session->outcome == SESSION_BROKEN ? -EPIPE : codec_encode_reply(reply, sending, sizeof sending);
    return n < 0 ? broken(session) : session_send_bytes(session, sending, (size_t)n);
}

bool session_done(struct session *session) {
    return session_send(session, &(Reply){.which_kind = Reply_done_tag});
}

bool session_fail(struct session *session, const struct failure *failure) {
    Reply reply = {.which_kind = Reply_failure_tag};
    reply.kind.failure = (Failure){.code = failure->code, .message = text_of(failure->message)};
    session_send(session, &reply);
    return false;
}

bool session_fail_and_end(struct session *session, const struct failure *failure) {
    session_fail(session, failure);
    if (session->outcome == SESSION_USABLE)
        session->outcome = SESSION_ENDED;
    return false;
}
