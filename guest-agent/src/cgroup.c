#define _GNU_SOURCE
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "strays.h"

static int directory_fd = -1;
// Kept open: a clone's first freeze or thaw is on the way to its answer.
static int freeze_fd = -1;
static int events_fd = -1;
static bool frozen_wanted;

int cgroup_open(const char *directory) {
    if (mkdir(directory, 0755) < 0 && errno != EEXIST)
        return -errno;
    directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0)
        return -errno;
    freeze_fd = openat(directory_fd, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
    events_fd = openat(directory_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    return freeze_fd < 0 || events_fd < 0 ? -errno : 0;
}

int cgroup_user_fd(void) {
    return directory_fd;
}

int cgroup_adopt(pid_t pid) {
    char text[16];
    int length = snprintf(text, sizeof text, "%d", (int)pid);
    int fd = openat(directory_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    int status = fd < 0 || write(fd, text, (size_t)length) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return status;
}

int cgroup_freeze(bool frozen) {
    if (!frozen && !frozen_wanted)
        return 0;  // nothing else freezes it
    if (pwrite(freeze_fd, frozen ? "1" : "0", 1, 0) < 0)
        return -errno;
    if (!frozen)
        strays_thaw();
    frozen_wanted = frozen;
    return 0;
}

bool cgroup_is_frozen(void) {
    return frozen_wanted;
}

int cgroup_read_state(int fd) {
    char text[256];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n < 0)
        return -errno;
    text[n] = 0;
    return strstr(text, "frozen 1") != NULL;
}

// Looks for what has got away each time: a process may have been doing just that while it was looked for.
int cgroup_frozen_state(void) {
    if (frozen_wanted && strays_freeze())
        return 0;
    int state = cgroup_read_state(events_fd);
    return state == 1 ? strays_frozen_state() : state;
}

uint32_t cgroup_processes(void) {
    char text[4096];
    uint32_t lines = 0;
    int fd = openat(directory_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    for (ssize_t n = read(fd, text, sizeof text); n > 0; n = read(fd, text, sizeof text))
        for (ssize_t i = 0; i < n; i++)
            lines += text[i] == '\n';
    close(fd);
    return lines;
}
