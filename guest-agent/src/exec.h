#ifndef SANDGLASS_EXEC_H
#define SANDGLASS_EXEC_H

#include <sys/types.h>

#include "buffer.h"
#include "failure.h"
#include "loop.h"
#include "ring.h"

// One command of the host's, from its start until it is forgotten.
//
//     running ──process ends──▶ draining ──all output read, or DRAIN_MILLIS──▶ finished ──▶ forgotten
//
// At most one connection reads it. Without a reader output goes on into the ring, which overwrites itself.
// With one, at most RING_MAX bytes stay unacknowledged; then its pipes are no longer read and the process
// blocks on them, while everything else goes on.

enum {
    EXEC_ID_MAX = 64,
    EXECS_RUNNING_MAX = 256,
    EXECS_FINISHED_MAX = 32,
    EXECS_FINISHED_BYTES_MAX = 8 << 20,
    STDIN_WINDOW = 256 << 10,        // input the host may have sent that is not reported as written
    STDIN_REPORT = 64 << 10,         // how much is written between two reports
    DRAIN_MILLIS = 200,
};

struct connection;

struct source {
    struct watch watch;
    struct exec *exec;
    int stream;
    bool open;
    bool paused;    // the reader's window is full
    int64_t quota;  // bytes still read once the draining time is over; negative: no limit
};

struct exec {
    struct exec *next;
    char id[EXEC_ID_MAX + 1];
    pid_t pid;
    bool running;
    bool finished;
    bool pty;
    bool unlisted;
    struct source sources[2];
    struct watch input;
    struct buffer input_pending;
    bool input_open;
    bool input_closing;  // close once what is pending is written
    uint64_t input_written;
    uint64_t input_reported;
    uint64_t input_base;  // what was sent before this reader came
    struct ring ring;
    struct connection *reader;
    uint64_t sent;
    uint64_t acknowledged;
    struct timer timeout;
    struct timer drain;
    int64_t started_unix_nanos;
    unsigned char *argv;  // NUL-terminated strings, cut for listing
    size_t argv_size;
    ExecExited exited;
};

// Starts a process read by `reader`. False: `failure` says why. A command that does not exist is no failure:
// its exec exits 127.
bool exec_start(const StartExec *start, struct connection *reader, struct exec **started, struct failure *failure);
struct exec *exec_find(struct text id);
struct exec *exec_first(void);  // and on by `next`

void exec_attach(struct exec *exec, struct connection *reader, uint64_t after_seq);
void exec_detach(struct exec *exec);

// The next output the reader has not been sent, at most `max` bytes of it; false when there is none now.
bool exec_take_output(struct exec *exec, Output *output, size_t max);
// Input written to the process since the last report is due to be reported: *total.
bool exec_take_input_report(struct exec *exec, uint64_t *total);

bool exec_acknowledge(struct exec *exec, uint64_t seq);
// False when it is more than the window allows.
bool exec_input(struct exec *exec, struct text data);
void exec_close_input(struct exec *exec);
void exec_resize(struct exec *exec, uint32_t cols, uint32_t rows);
int exec_signal(struct exec *exec, int number);

// Says that a child has been reaped; false when it is none of ours.
bool exec_reaped(pid_t pid, int status);
size_t exec_running_count(void);
void exec_kill_all(void);

#endif
