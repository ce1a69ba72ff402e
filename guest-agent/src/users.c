#define _GNU_SOURCE
#include "users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DATABASE_MAX = 1 << 20, FIELDS_MAX = 7 };

// A file of lines of colon-separated fields, kept until the file changes.
struct database {
    const char *path;
    struct stat seen;
    char *content;
    size_t size;
};

static struct database passwd = {.path = "/etc/passwd"};
static struct database group = {.path = "/etc/group"};

struct line {
    const char *fields[FIELDS_MAX];
    size_t sizes[FIELDS_MAX];
    size_t count;
};

static bool unchanged(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void forget(struct database *database) {
    free(database->content);
    database->content = NULL;
    database->size = 0;
}

static void read_whole(struct database *database, int fd, size_t size) {
    char *content = malloc(size);
    if (!content)
        return;
    ssize_t got = read(fd, content, size);
    database->content = content;
    database->size = got < 0 ? 0 : (size_t)got;
}

// An unreadable, huge or special file counts as empty.
static void refresh(struct database *database) {
    struct stat now;
    if (stat(database->path, &now) < 0) {
        forget(database);
        return;
    }
    if (database->content && unchanged(&now, &database->seen))
        return;
    forget(database);
    if (!S_ISREG(now.st_mode) || now.st_size <= 0 || now.st_size > DATABASE_MAX)
        return;
    int fd = open(database->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    read_whole(database, fd, (size_t)now.st_size);
    database->seen = now;
    close(fd);
}

static void split(const char *start, const char *end, struct line *line) {
    line->count = 0;
    while (line->count < FIELDS_MAX) {
        const char *colon = memchr(start, ':', (size_t)(end - start));
        const char *stop = colon && line->count < FIELDS_MAX - 1 ? colon : end;
        line->fields[line->count] = start;
        line->sizes[line->count++] = (size_t)(stop - start);
        if (stop == end)
            return;
        start = stop + 1;
    }
}

// Steps through the lines: *at is the offset of the next one, 0 at first.
static bool next_line(const struct database *database, size_t *at, struct line *line) {
    if (*at >= database->size)
        return false;
    const char *start = database->content + *at;
    size_t left = database->size - *at;
    const char *newline = memchr(start, '\n', left);
    const char *end = newline ? newline : start + left;
    split(start, end, line);
    *at += (size_t)(end - start) + 1;
    return true;
}

static bool is_field(const struct line *line, size_t index, struct text value) {
    return index < line->count && line->sizes[index] == value.size &&
           memcmp(line->fields[index], value.data, value.size) == 0;
}

static bool parse_id(const char *from, size_t size, uid_t *id) {
    unsigned long long value = 0;
    if (size == 0 || size > 10)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (from[i] < '0' || from[i] > '9')
            return false;
        value = value * 10 + (unsigned long long)(from[i] - '0');
    }
    if (value >= UINT32_MAX)  // (uid_t)-1 means "leave as it is" to the kernel
        return false;
    *id = (uid_t)value;
    return true;
}

static void copy_field(const struct line *line, size_t index, char *to) {
    size_t size = index < line->count ? line->sizes[index] : 0;
    if (size >= USER_TEXT_MAX)
        size = 0;
    if (size > 0)
        memcpy(to, line->fields[index], size);
    to[size] = 0;
}

static bool take_entry(const struct line *line, struct user *user) {
    if (line->count < FIELDS_MAX || !parse_id(line->fields[2], line->sizes[2], &user->uid) ||
        !parse_id(line->fields[3], line->sizes[3], &user->gid))
        return false;
    copy_field(line, 0, user->name);
    copy_field(line, 5, user->home);
    copy_field(line, 6, user->shell);
    return true;
}

static bool find_entry(struct text who, bool by_uid, uid_t uid, struct user *user) {
    struct line line;
    for (size_t at = 0; next_line(&passwd, &at, &line);) {
        uid_t id;
        bool wanted = by_uid ? line.count > 2 && parse_id(line.fields[2], line.sizes[2], &id) && id == uid
                             : is_field(&line, 0, who);
        if (wanted && take_entry(&line, user))
            return true;
    }
    return false;
}

static bool is_member(const struct line *line, const char *name) {
    if (line->count < 4)
        return false;
    size_t length = strlen(name);
    const char *at = line->fields[3];
    const char *end = at + line->sizes[3];
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        if ((size_t)(stop - at) == length && memcmp(at, name, length) == 0)
            return true;
        at = stop + 1;
    }
    return false;
}

static void find_groups(struct user *user) {
    struct line line;
    user->groups_count = 0;
    for (size_t at = 0; next_line(&group, &at, &line) && user->groups_count < USER_GROUPS_MAX;) {
        gid_t gid;
        if (is_member(&line, user->name) && parse_id(line.fields[2], line.sizes[2], &gid) && gid != user->gid)
            user->groups[user->groups_count++] = gid;
    }
}

// Somebody without an entry: only root may be meant by name.
static int without_entry(bool by_uid, uid_t uid, struct user *user) {
    if (!by_uid)
        return -ENOENT;
    user->uid = uid;
    user->gid = (gid_t)uid;
    snprintf(user->name, sizeof user->name, "%u", (unsigned)uid);
    if (uid == 0)
        strcpy(user->name, "root");
    strcpy(user->home, uid == 0 ? "/root" : "/");
    return 0;
}

int users_find(struct text who, struct user *user) {
    memset(user, 0, sizeof *user);
    if (who.size >= USER_TEXT_MAX || text_has_nul(who))
        return -ENOENT;
    refresh(&passwd);
    refresh(&group);
    uid_t uid = 0;
    bool by_uid = who.size == 0 || parse_id((const char *)who.data, who.size, &uid);
    if (!find_entry(who, by_uid, uid, user)) {
        int status = without_entry(by_uid || text_equals(who, "root"), uid, user);
        if (status < 0)
            return status;
    }
    if (user->home[0] != '/')
        strcpy(user->home, "/");
    if (user->shell[0] == 0)
        strcpy(user->shell, "/bin/sh");
    find_groups(user);
    return 0;
}

int users_become(const struct user *user) {
    if (geteuid() != 0)
        return user->uid == geteuid() ? 0 : (errno = EPERM, -1);
    if (user->uid == 0 && user->gid == 0 && user->groups_count == 0)
        return 0;
    if (syscall(SYS_setgroups, user->groups_count, user->groups) < 0 ||
        syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0)
        return -1;
    return (int)syscall(SYS_setresuid, user->uid, user->uid, user->uid);
}

static void name_of(struct database *database, unsigned id, char *name, size_t capacity) {
    struct line line;
    refresh(database);
    for (size_t at = 0; next_line(database, &at, &line);) {
        uid_t found;
        if (line.count > 2 && parse_id(line.fields[2], line.sizes[2], &found) && found == id) {
            text_printable((struct text){(const unsigned char *)line.fields[0], line.sizes[0]}, name, capacity);
            return;
        }
    }
    snprintf(name, capacity, "%u", id);
}

void users_name_of_uid(uid_t uid, char *name, size_t capacity) {
    name_of(&passwd, uid, name, capacity);
}

void users_name_of_gid(gid_t gid, char *name, size_t capacity) {
    name_of(&group, gid, name, capacity);
}
