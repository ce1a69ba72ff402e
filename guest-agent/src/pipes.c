#define _GNU_SOURCE
#include "pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "terminal.h"

static int null_fd = -1;  // the input of those that have none

int pipes_init(void) {
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return null_fd < 0 ? -errno : 0;
}

static void close_one(int *fd) {
    if (*fd >= 0 && *fd != null_fd)
        close(*fd);
    *fd = -1;
}

void pipes_close(struct pipes *pipes, int side) {
    close_one(&pipes->input[side]);
    close_one(&pipes->output[side]);
    close_one(&pipes->error[side]);
}

static int open_pipe(int ours_is, int ends[2]) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    ends[0] = fds[ours_is];
    ends[1] = fds[1 - ours_is];
    return fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int open_plain(struct pipes *pipes, bool with_input) {
    int status = open_pipe(0, pipes->output);
    if (status == 0)
        status = open_pipe(0, pipes->error);
    if (status == 0 && with_input)
        status = open_pipe(1, pipes->input);
    if (!with_input)
        pipes->input[1] = null_fd;
    return status;
}

static int open_terminal(struct pipes *pipes, const Pty *size, uid_t owner) {
    int status = terminal_open(&pipes->output[0], &pipes->output[1], owner);
    if (status < 0)
        return status;
    terminal_resize(pipes->output[0], size->cols, size->rows);
    // Input and output of a terminal are watched apart, and one epoll takes a descriptor only once.
    pipes->input[0] = fcntl(pipes->output[0], F_DUPFD_CLOEXEC, 0);
    return pipes->input[0] < 0 ? -errno : 0;
}

int pipes_open(struct pipes *pipes, const StartExec *start, uid_t owner) {
    *pipes = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}};
    return start->has_pty ? open_terminal(pipes, &start->pty, owner) : open_plain(pipes, start->stdin_open);
}
