#ifndef SANDGLASS_SESSION_H
#define SANDGLASS_SESSION_H

#include "codec.h"
#include "failure.h"

// A connection inside a worker process: blocking, one operation, then over.

enum session_outcome {
    SESSION_BROKEN,  // the connection cannot go on
    SESSION_ENDED,   // a Failure was sent that ends the connection
    SESSION_USABLE,
};

// What the agent learns of it, in shared memory.
struct session_result {
    enum session_outcome outcome;
    size_t consumed;  // of the bytes the agent had received already
};

enum { SESSION_STALL_SECONDS = 600, DATA_MAX = 65536 };

struct session {
    int fd;
    const unsigned char *inherited;
    size_t inherited_size;
    struct session_result *result;
    enum session_outcome outcome;
    unsigned char frame[FRAME_HEADER + FRAME_MAX];  // the message received last
};

void session_open(struct session *session, int fd, struct session_result *result);
void session_finish(struct session *session);

// All of these return false when the operation is over: the connection broke, or a Failure ended it.
bool session_receive(struct session *session, Request *request);
bool session_send(struct session *session, const Reply *reply);
bool session_send_bytes(struct session *session, const unsigned char *bytes, size_t size);
bool session_done(struct session *session);

// Send a Failure after which the connection is usable, or not. Both return false.
bool session_fail(struct session *session, const struct failure *failure);
bool session_fail_and_end(struct session *session, const struct failure *failure);

#endif
