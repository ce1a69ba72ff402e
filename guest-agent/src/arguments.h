#ifndef SANDGLASS_ARGUMENTS_H
#define SANDGLASS_ARGUMENTS_H

#include "failure.h"
#include "users.h"

// What execve needs, as one block of memory.
struct arguments {
    char **argv;
    char **envp;
    const char *path;  // value of PATH in envp, "" when it has none
    void *block;
};

// From a StartExec: its argv, and its env on top of the default environment of that user.
bool arguments_make(struct arguments *arguments, const StartExec *start, const struct user *user,
                    struct failure *failure);
void arguments_free(struct arguments *arguments);

#endif
