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

// Received at once, in large gulps: each call of the kernel's, and each acknowledgement on the wire that it brings about,
// costs a guest more than the copying of some pages.
enum { SESSION_STALL_SECONDS = 600, DATA_MAX = 65536, SESSION_BUFFER = 512 << 10 };

// What the agent learns of it, in shared memory.
struct session_result {
    enum session_outcome outcome;
    size_t consumed;   // of the bytes the agent had received already
    size_t left_size;  // received and not needed: what has been sent after the operation
    unsigned char left[SESSION_BUFFER];
};

struct session {
    int fd;
    const unsigned char *inherited;
    size_t inherited_size;
    struct session_result *result;
    enum session_outcome outcome;
    size_t start, end;  // of what has been received and not been asked for yet
};

void session_open(struct session *session, int fd, struct session_result *result);
void session_finish(struct session *session);

// All of these return false when the operation is over: the connection broke, or a Failure ended it.
bool session_receive(struct session *session, Request *request);
// The next session_receive will not have to wait, and what this one's request points to stays until it has returned.
bool session_holds_request(const struct session *session);
bool session_send(struct session *session, const Reply *reply);
// `n` bytes of a file, from `at` on, as one Data; the kernel carries them. `*error` is 0 for a file that ends before.
bool session_send_file(struct session *session, int file, uint64_t at, size_t n, int *error);
bool session_send_bytes(struct session *session, const unsigned char *bytes, size_t size);
bool session_done(struct session *session);

// Send a Failure after which the connection is usable, or not. Both return false.
bool session_fail(struct session *session, const struct failure *failure);
bool session_fail_and_end(struct session *session, const struct failure *failure);

#endif
