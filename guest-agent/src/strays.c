#define _GNU_SOURCE
#include "strays.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"

enum {
    CGROUPS_MAX = 1024,  // more are left running
    OWN_LINKS = 3,       // of the root directory: itself, its entry, our cgroup
};

struct frozen {
    struct frozen *next;
    char name[NAME_MAX + 1];
};

static int root_fd = -1;
static int processes_fd = -1;
static const char *own_name;
static struct frozen *frozen;
static size_t frozen_count;

int strays_open(const char *root, const char *own) {
    own_name = own;
    root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    processes_fd = root_fd < 0 ? -1 : openat(root_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    return processes_fd < 0 ? -errno : 0;
}

// ---- Cgroups beside ours

static int open_in(const char *cgroup, const char *file, int flags) {
    char path[NAME_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", cgroup, file);
    return openat(root_fd, path, flags | O_CLOEXEC);
}

static bool write_freeze(const char *cgroup, const char *value) {
    int fd = open_in(cgroup, "cgroup.freeze", O_WRONLY);
    bool done = fd >= 0 && write(fd, value, 1) == 1;
    if (fd >= 0)
        close(fd);
    return done;
}

static bool is_thawed(const char *cgroup) {
    char value = 0;
    int fd = open_in(cgroup, "cgroup.freeze", O_RDONLY);
    bool thawed = fd >= 0 && read(fd, &value, 1) == 1 && value == '0';
    if (fd >= 0)
        close(fd);
    return thawed;
}

static bool freeze_one(const char *cgroup) {
    struct frozen *entry = frozen_count < CGROUPS_MAX ? malloc(sizeof *entry) : NULL;
    if (!entry)
        return false;
    if (!is_thawed(cgroup) || !write_freeze(cgroup, "1")) {
        free(entry);
        return false;
    }
    snprintf(entry->name, sizeof entry->name, "%s", cgroup);
    entry->next = frozen;
    frozen = entry;
    frozen_count++;
    return true;
}

static bool freeze_beside(void) {
    struct stat root;
    // The common case: there are none.
    if (fstat(root_fd, &root) < 0 || root.st_nlink <= OWN_LINKS)
        return false;
    int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool any = false;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && strcmp(entry->d_name, own_name) != 0)
            any |= freeze_one(entry->d_name);
    closedir(directory);
    return any;
}

// ---- Processes in the root cgroup

// The kernel's threads, the agent and its workers are in the process group of the kernel's first task.
static bool is_stray(pid_t pid) {
    pid_t group = getpgid(pid);
    return group > 0 && group != getpgid(0);
}

static bool adopt_all(const char *text) {
    bool any = false;
    for (char *end; *text; text = end + (*end == '\n')) {
        long pid = strtol(text, &end, 10);
        if (end == text)
            break;
        if (is_stray((pid_t)pid))
            any |= cgroup_adopt((pid_t)pid) == 0;
    }
    return any;
}

static bool adopt_strays(void) {
    static char text[16384];  // at least 2,000 processes; what is left comes the next time
    size_t size = 0;
    for (ssize_t n = 1; n > 0 && size < sizeof text - 1; size += n > 0 ? (size_t)n : 0)
        n = pread(processes_fd, text + size, sizeof text - 1 - size, (off_t)size);
    text[size] = 0;
    return adopt_all(text);
}

bool strays_freeze(void) {
    if (processes_fd < 0)
        return false;
    bool beside = freeze_beside();
    return adopt_strays() || beside;
}

int strays_frozen_state(void) {
    for (const struct frozen *entry = frozen; entry; entry = entry->next) {
        int fd = open_in(entry->name, "cgroup.events", O_RDONLY);
        if (fd < 0)
            continue;  // removed, so it is empty
        int state = cgroup_read_state(fd);
        close(fd);
        if (state != 1)
            return state;
    }
    return 1;
}

void strays_thaw(void) {
    while (frozen) {
        struct frozen *entry = frozen;
        write_freeze(entry->name, "0");
        frozen = entry->next;
        free(entry);
    }
    frozen_count = 0;
}
