#define _GNU_SOURCE
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

int cgroup_freeze(bool frozen) {
    if (!frozen && !frozen_wanted)
        return 0;  // nothing else freezes it
    if (pwrite(freeze_fd, frozen ? "1" : "0", 1, 0) < 0)
        return -errno;
    frozen_wanted = frozen;
    return 0;
}

bool cgroup_is_frozen(void) {
    return frozen_wanted;
}

int cgroup_frozen_state(void) {
    char text[256];
    ssize_t n = pread(events_fd, text, sizeof text - 1, 0);
    if (n < 0)
        return -errno;
    text[n] = 0;
    return strstr(text, "frozen 1") != NULL;
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
