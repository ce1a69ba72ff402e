#ifndef SANDGLASS_CONNECTION_H
#define SANDGLASS_CONNECTION_H

#include "buffer.h"
#include "exec.h"
#include "failure.h"
#include "loop.h"

// One connection of the host's.
//
//     AWAIT_HELLO ──Hello──▶ IDLE ◀──▶ EXEC      start_exec, attach_exec ▶ ExecExited, Done
//                             ▲ ▲────▶ WORKING   a file operation, in a process of its own (worker.h)
//                             └──────▶ FREEZING  freeze ▶ Done, Failure
//     any ──▶ LINGERING: a last Failure is on its way; what still comes in is thrown away
//
// Whatever arrives before its turn stays in the socket, which holds the host back.
enum connection_state { AWAIT_HELLO, IDLE, EXEC, WORKING, FREEZING, LINGERING, CLOSED };

enum {
    CONNECTIONS_MAX = 64,
    HELLO_MILLIS = 5000,
    LINGER_MILLIS = 2000,
    CORK_MILLIS = 10,
};

struct connection {
    struct watch watch;
    enum connection_state state;
    struct buffer in;
    struct buffer out;
    struct timer timer;      // of Hello, of freezing, of lingering
    struct timer cork_timer;
    bool batching;           // more requests are being taken: their replies leave together
    bool corked;             // ExecStarted waits a moment for output and exit, to leave with them in one packet
    struct exec *exec;       // in EXEC
    int64_t freeze_deadline;
    int64_t freeze_poll;
};

int connection_listen(const char *address, uint16_t port);
// The port that is listened on.
uint16_t connection_port(void);

void connection_reply(struct connection *connection, const Reply *reply);
void connection_done(struct connection *connection);
void connection_fail(struct connection *connection, const struct failure *failure);
// Sends the failure, then ends the connection in a way that lets the host read it.
void connection_fail_and_end(struct connection *connection, const struct failure *failure);
void connection_close(struct connection *connection);
// Resets every connection but this one.
void connection_close_others(struct connection *connection);

// Begins and ends the reading of an exec.
void connection_enter_exec(struct connection *connection, struct exec *exec, bool cork);
void connection_leave_exec(struct connection *connection);
// The exec has output, an input report or its exit for its reader.
void connection_exec_ready(struct connection *connection);

// Back to IDLE after WORKING or FREEZING: goes on with what has been received meanwhile.
void connection_resume(struct connection *connection);
// Nothing is read or written by the loop until connection_resume.
void connection_suspend(struct connection *connection, enum connection_state state);
void connection_linger(struct connection *connection);

// Ends every connection and stops listening, before power-off.
void connection_flush_all(void);

#endif
