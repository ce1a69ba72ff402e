#define _GNU_SOURCE
#include "path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool path_take(struct text path, char *to, struct failure *failure) {
    if (path.size == 0 || path.data[0] != '/')
        return fail(failure, Failure_Code_BAD_REQUEST, "a path must be absolute");
    int status = text_copy(path, to, PATH_BYTES_MAX);
    if (status == -EINVAL)
        return fail(failure, Failure_Code_BAD_REQUEST, "a path contains a NUL");
    if (status < 0)
        return fail(failure, Failure_Code_BAD_REQUEST, "a path is longer than %d bytes", PATH_BYTES_MAX - 1);
    for (size_t length = strlen(to); length > 1 && to[length - 1] == '/'; length--)
        to[length - 1] = 0;
    return true;
}

bool path_take_entry(struct text path, char *to, struct failure *failure) {
    if (!path_take(path, to, failure))
        return false;
    const char *name = strrchr(to, '/') + 1;
    if (*name == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return fail(failure, Failure_Code_BAD_REQUEST, "the path must end in a name");
    return true;
}

void path_parent(const char *path, char *parent) {
    size_t length = (size_t)(strrchr(path, '/') - path);
    if (length == 0)
        length = 1;
    memcpy(parent, path, length);
    parent[length] = 0;
}

static int ensure_directory(const char *path) {
    struct stat status;
    if (mkdir(path, 0755) == 0)
        return 0;
    if (errno != EEXIST)
        return -errno;
    if (stat(path, &status) < 0)
        return -errno;
    return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

int path_make_directories(const char *path) {
    char part[PATH_BYTES_MAX];
    struct stat found;
    if (stat(path, &found) == 0)
        return S_ISDIR(found.st_mode) ? 0 : -ENOTDIR;
    strcpy(part, path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int status = ensure_directory(part);
        *slash = '/';
        // A parent that cannot be made may exist all the same, on a read-only file system for one.
        if (status < 0 && status != -EROFS && status != -EACCES)
            return status;
    }
    return ensure_directory(part);
}

// ---- Removing a tree

enum { DEPTH_MAX = 16384 };

struct level {
    dev_t device;
    ino_t inode;
    char name[256];  // of the directory below, in this one
};

struct descent {
    struct level *levels;
    size_t depth;
    size_t capacity;
    dev_t device;
    int fd;  // the directory being emptied
};

static bool is_dots(const char *name) {
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

static int open_directory(int at, const char *name) {
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int push(struct descent *descent, const char *name) {
    if (descent->depth == descent->capacity) {
        size_t capacity = descent->capacity == 0 ? 16 : descent->capacity * 2;
        struct level *levels = capacity > DEPTH_MAX ? NULL : realloc(descent->levels, capacity * sizeof *levels);
        if (!levels)
            return -ENOMEM;
        descent->levels = levels;
        descent->capacity = capacity;
    }
    struct level *level = &descent->levels[descent->depth];
    struct stat status;
    if (fstat(descent->fd, &status) < 0)
        return -errno;
    *level = (struct level){.device = status.st_dev, .inode = status.st_ino};
    strncpy(level->name, name, sizeof level->name - 1);
    descent->depth++;
    return 0;
}

static int go_down(struct descent *descent, const char *name) {
    struct stat status;
    int fd = open_directory(descent->fd, name);
    if (fd < 0)
        return fd;
    int error = fstat(fd, &status) < 0 ? -errno : status.st_dev != descent->device ? -EBUSY : push(descent, name);
    if (error < 0) {
        close(fd);
        return error;
    }
    close(descent->fd);
    descent->fd = fd;
    return 0;
}

// Back to the directory above, if it still is the one that was left; then the emptied one goes.
static int go_up(struct descent *descent) {
    struct stat status;
    const struct level *level = &descent->levels[descent->depth - 1];
    int fd = open_directory(descent->fd, "..");
    if (fd < 0)
        return fd;
    close(descent->fd);
    descent->fd = fd;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_dev != level->device || status.st_ino != level->inode)
        return -EBUSY;
    descent->depth--;
    return unlinkat(fd, level->name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

// 0: gone. 1: a directory that is not empty.
static int remove_entry(int at, const char *name) {
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    int error = errno;
    if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno == ENOTEMPTY || errno == EEXIST)
        return 1;
    return errno == ENOTDIR ? -error : -errno;
}

// Removes what it can and goes down into the first directory that is not empty: 1; 0 when nothing is left here.
static int empty_one(struct descent *descent) {
    int copy = openat(descent->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (!directory)
        return -errno;
    int status = 0;
    for (struct dirent *entry; status == 0 && (entry = readdir(directory));) {
        if (is_dots(entry->d_name))
            continue;
        status = remove_entry(descent->fd, entry->d_name);
        if (status == 1) {
            int down = go_down(descent, entry->d_name);
            status = down < 0 ? down : 1;
        }
    }
    closedir(directory);
    return status;
}

static int empty_all(struct descent *descent) {
    for (;;) {
        int status = empty_one(descent);
        if (status == 1)
            continue;
        if (status < 0 || descent->depth == 0)
            return status;
        status = go_up(descent);
        if (status < 0)
            return status;
    }
}

static int remove_directory(const char *path) {
    struct stat status;
    struct descent descent = {.fd = open_directory(AT_FDCWD, path)};
    if (descent.fd < 0)
        return descent.fd;
    int result = fstat(descent.fd, &status) < 0 ? -errno : 0;
    descent.device = status.st_dev;
    if (result == 0)
        result = empty_all(&descent);
    close(descent.fd);
    free(descent.levels);
    if (result == 0 && rmdir(path) < 0)
        result = -errno;
    return result;
}

int path_remove_tree(const char *path) {
    struct stat status;
    if (lstat(path, &status) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return remove_directory(path);
    return unlink(path) < 0 ? -errno : 0;
}
