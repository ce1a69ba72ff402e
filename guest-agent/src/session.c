#define _GNU_SOURCE
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

static unsigned char sending[FRAME_HEADER + FRAME_MAX];

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
    session->result->outcome = session->outcome;
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

static bool receive_bytes(struct session *session, unsigned char *to, size_t size) {
    size_t got = take_inherited(session, to, size);
    while (got < size) {
        ssize_t n = recv(session->fd, to + got, size - got, MSG_WAITALL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return broken(session);
        got += (size_t)n;
    }
    return true;
}

static bool bad_frame(struct session *session, const char *what) {
    struct failure failure;
    fail(&failure, Failure_Code_BAD_REQUEST, "%s", what);
    return session_fail_and_end(session, &failure);
}

bool session_receive(struct session *session, Request *request) {
    if (session->outcome != SESSION_USABLE || !receive_bytes(session, session->frame, FRAME_HEADER))
        return false;
    size_t length = frame_length(session->frame);
    if (length == 0 || length > FRAME_MAX)
        return bad_frame(session, "a frame is empty or too long");
    if (!receive_bytes(session, session->frame + FRAME_HEADER, length))
        return false;
    if (codec_decode_request(request, session->frame + FRAME_HEADER, length) < 0)
        return bad_frame(session, "the frame does not parse as a Request");
    return true;
}

bool session_send_bytes(struct session *session, const unsigned char *bytes, size_t size) {
    while (size > 0) {
        ssize_t n = send(session->fd, bytes, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return broken(session);
        bytes += n;
        size -= (size_t)n;
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
