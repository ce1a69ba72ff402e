#define _GNU_SOURCE
#include "hostname.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

enum {
    PREFIX_SIZE = 10,
    LINE_SIZE = PREFIX_SIZE + HOSTNAME_MAX + 1,
    HOSTS_MAX = 64 << 10,  // a larger file is somebody's own business
};

#define PREFIX "127.0.1.1 "
#define IMAGE_LINE PREFIX "sandglass\n"  // as the base image has it
#define NEW_HOSTS "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"

static bool is_ours(const char *line, size_t size) {
    if (size == strlen(IMAGE_LINE) && memcmp(line, IMAGE_LINE, size) == 0)
        return true;
    return size == LINE_SIZE && line[size - 1] == '\n' && memcmp(line, PREFIX, PREFIX_SIZE) == 0;
}

// Where our line is, and how long; otherwise the end, and 0.
static size_t find_line(const char *text, size_t size, size_t *length) {
    for (size_t at = 0; at < size; at += *length) {
        const char *newline = memchr(text + at, '\n', size - at);
        *length = newline ? (size_t)(newline - text) + 1 - at : size - at;
        if (is_ours(text + at, *length))
            return at;
    }
    *length = 0;
    return size;
}

static int write_at(int fd, const char *text, size_t size, size_t at) {
    return pwrite(fd, text, size, (off_t)at) == (ssize_t)size ? 0 : errno ? -errno : -EIO;
}

static int replace(int fd, const char *text, size_t size, const char *line) {
    size_t length;
    size_t at = find_line(text, size, &length);
    size_t rest = size - at - length;
    if (length == LINE_SIZE)
        return write_at(fd, line, LINE_SIZE, at);
    if (length == 0 && at > 0 && text[at - 1] != '\n') {
        int status = write_at(fd, "\n", 1, at++);
        return status < 0 ? status : write_at(fd, line, LINE_SIZE, at);
    }
    int status = write_at(fd, line, LINE_SIZE, at);
    return status == 0 && rest > 0 ? write_at(fd, text + at + length, rest, at + LINE_SIZE) : status;
}

static int replace_in(int fd, const char *line) {
    static char text[HOSTS_MAX];
    struct stat file;
    if (fstat(fd, &file) < 0)
        return -errno;
    if (!S_ISREG(file.st_mode) || file.st_size > HOSTS_MAX - LINE_SIZE - 1)
        return -EINVAL;
    if (file.st_size == 0) {
        memcpy(text, NEW_HOSTS, strlen(NEW_HOSTS));
        int status = write_at(fd, text, strlen(NEW_HOSTS), 0);
        return status < 0 ? status : write_at(fd, line, LINE_SIZE, strlen(NEW_HOSTS));
    }
    ssize_t size = pread(fd, text, sizeof text, 0);
    return size < 0 ? -errno : replace(fd, text, (size_t)size, line);
}

int hosts_name(const char *path, const char *name) {
    char line[LINE_SIZE + 1];
    snprintf(line, sizeof line, PREFIX "%-*.*s\n", HOSTNAME_MAX, HOSTNAME_MAX, name);
    int fd = open(path, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    errno = 0;
    int status = replace_in(fd, line);
    close(fd);
    return status;
}

int hostname_apply(const char *name) {
    char now[HOSTNAME_MAX + 2] = "";
    if (gethostname(now, sizeof now - 1) == 0 && strcmp(now, name) == 0)
        return 0;
    if (sethostname(name, strlen(name)) < 0)
        return -errno;
    // Name resolution is a convenience: a read-only or full disk does not stop a sandbox.
    int status = hosts_name("/etc/hosts", name);
    if (status < 0)
        log_line("cannot write /etc/hosts: %s", strerror(-status));
    return 0;
}

void hostname_link(void) {
    unlink("/etc/hostname");
    if (symlink("/proc/sys/kernel/hostname", "/etc/hostname") < 0)
        log_line("cannot link /etc/hostname: %s", strerror(errno));
}
