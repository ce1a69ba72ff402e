#ifndef SANDGLASS_STRAYS_H
#define SANDGLASS_STRAYS_H

#include <stdbool.h>

// User processes outside the cgroup they were started in. Root in a guest may make cgroups beside ours (container
// runtimes do) or put a process into the root cgroup; a pause must find these standing still too.

// `root` is where the whole hierarchy is mounted, `own` the name of our cgroup in it. 0 or -errno.
int strays_open(const char *root, const char *own);

// Freezes the cgroups beside ours that are not frozen, and moves what is in the root cgroup into ours. True: there was
// something to do.
bool strays_freeze(void);
// 1 when what was frozen stands still, 0 when not, -errno.
int strays_frozen_state(void);
// Thaws what strays_freeze froze, and nothing that the user had frozen.
void strays_thaw(void);

#endif
