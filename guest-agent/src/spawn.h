#ifndef SANDGLASS_SPAWN_H
#define SANDGLASS_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "users.h"

// What went wrong in the child before the program ran.
enum spawn_step { SPAWN_OK, SPAWN_CREDENTIALS, SPAWN_TERMINAL, SPAWN_DIRECTORY, SPAWN_EXECUTE };

struct spawn {
    char *const *argv;
    char *const *envp;
    const char *path;       // value of PATH, for an argv[0] without a slash
    const char *directory;  // where to start
    bool directory_optional;  // "/" when it is not there
    int input, output, error;  // descriptors for 0, 1, 2
    bool terminal;          // 0 becomes the controlling terminal
    const struct user *user;
    int cgroup;             // descriptor of a cgroup v2 directory, or -1
    // Set on return:
    enum spawn_step failed;
    int failure;            // errno of that step
};

// Starts the program in a session and process group of its own: its pid, or -errno when there is no process.
// When `failed` is set the process could not be made ready and is about to exit with 126 or 127.
// Like vfork the caller stands still until the program runs, but no page table is copied. So an argv[0] or
// directory on a file system that never answers (a FUSE of the user's own) stops the agent of this one VM.
pid_t spawn(struct spawn *spawn);

#endif
