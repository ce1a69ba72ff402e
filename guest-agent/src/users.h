#ifndef SANDGLASS_USERS_H
#define SANDGLASS_USERS_H

#include <stddef.h>
#include <sys/types.h>

#include "text.h"

enum { USER_TEXT_MAX = 256, USER_GROUPS_MAX = 64 };

// Somebody a process runs as or a file belongs to, from the rootfs's /etc/passwd and /etc/group. A static
// program cannot ask NSS, and nothing of the rootfs is executed.
struct user {
    uid_t uid;
    gid_t gid;
    gid_t groups[USER_GROUPS_MAX];  // supplementary
    size_t groups_count;
    char name[USER_TEXT_MAX];
    char home[USER_TEXT_MAX];
    char shell[USER_TEXT_MAX];
};

// By name or decimal uid; empty means root. A uid and "root" need no entry. -ENOENT: no such user.
int users_find(struct text who, struct user *user);

// Makes the calling process that user, for good. -1 with errno. By raw system calls: the C library's wrappers
// would try to reach other threads, which is wrong in a child that shares its parent's memory.
int users_become(const struct user *user);

// The name of a uid or gid, or its number; the result is valid UTF-8.
void users_name_of_uid(uid_t uid, char *name, size_t capacity);
void users_name_of_gid(gid_t gid, char *name, size_t capacity);

#endif
