#define _GNU_SOURCE
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int directory_fd = -1;
static bool frozen_wanted;

int cgroup_open(const char *directory) {
    if (mkdir(directory, 0755) < 0 && errno != EEXIST)
        return -errno;
    directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory_fd < 0 ? -errno : 0;
}

int cgroup_user_fd(void) {
    return directory_fd;
}

int cgroup_freeze(bool frozen) {
    int fd = openat(directory_fd, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = write(fd, frozen ? "1" : "0", 1) < 0 ? -errno : 0;
    close(fd);
    if (status == 0)
        frozen_wanted = frozen;
    return status;
}

bool cgroup_is_frozen(void) {
    return frozen_wanted;
}

int cgroup_frozen_state(void) {
    char text[256];
    int fd = openat(directory_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    int error = errno;
    close(fd);
    if (n < 0)
        return -error;
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
