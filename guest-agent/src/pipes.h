#ifndef SANDGLASS_PIPES_H
#define SANDGLASS_PIPES_H

#include "codec.h"

// The descriptors between the agent and one process: ours, non-blocking, at [0], the process's at [1]. -1 where there
// is none. With a terminal both of its sides are in `output`, and a copy of ours in `input`.
struct pipes {
    int input[2];
    int output[2];
    int error[2];
};

int pipes_init(void);
// 0 or -errno; what is open then is closed by pipes_close.
int pipes_open(struct pipes *pipes, const StartExec *start, uid_t owner);
void pipes_close(struct pipes *pipes, int side);

#endif
