#define _GNU_SOURCE
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441  // asm-generic/ioctls.h
#endif

int terminal_open(int *ours, int *theirs, uid_t owner) {
    int unlock = 0;
    *ours = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (*ours < 0)
        return -errno;
    if (ioctl(*ours, TIOCSPTLCK, &unlock) < 0)
        return -errno;
    *theirs = ioctl(*ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*theirs < 0)
        return -errno;
    return owner != 0 && fchown(*theirs, owner, (gid_t)-1) < 0 ? -errno : 0;
}

bool terminal_size_is_valid(uint32_t cols, uint32_t rows) {
    return cols > 0 && cols <= UINT16_MAX && rows > 0 && rows <= UINT16_MAX;
}

void terminal_resize(int fd, uint32_t cols, uint32_t rows) {
    struct winsize size = {.ws_col = (unsigned short)cols, .ws_row = (unsigned short)rows};
    ioctl(fd, TIOCSWINSZ, &size);
}
