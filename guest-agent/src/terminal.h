#ifndef SANDGLASS_TERMINAL_H
#define SANDGLASS_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// A new pseudo-terminal: *ours is non-blocking, *theirs belongs to `owner`. 0 or -errno.
int terminal_open(int *ours, int *theirs, uid_t owner);
bool terminal_size_is_valid(uint32_t cols, uint32_t rows);
void terminal_resize(int fd, uint32_t cols, uint32_t rows);

#endif
