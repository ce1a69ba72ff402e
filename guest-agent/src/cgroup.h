#ifndef SANDGLASS_CGROUP_H
#define SANDGLASS_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// The cgroup v2 that all user processes live in and the agent does not, so that it can be frozen.

// Opens (and makes) the directory; without one, processes start in the agent's cgroup and nothing can be frozen.
int cgroup_open(const char *directory);
// Its descriptor, or -1.
int cgroup_user_fd(void);

// Moves a process into it. 0 or -errno.
int cgroup_adopt(pid_t pid);

// Asks for freezing or thawing; the kernel does it in a moment. 0 or -errno.
int cgroup_freeze(bool frozen);
// Freezing was asked for last: a process started now would never run.
bool cgroup_is_frozen(void);
// 1 when all user processes stand still, those outside it too (strays.h), 0 when not, -errno. Goes on freezing.
int cgroup_frozen_state(void);
// The same, of the cgroup.events that is open there.
int cgroup_read_state(int fd);
// Number of processes in it.
uint32_t cgroup_processes(void);

#endif
