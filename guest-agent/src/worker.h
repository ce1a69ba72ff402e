#ifndef SANDGLASS_WORKER_H
#define SANDGLASS_WORKER_H

#include "connection.h"

// File operations run each in a forked process that takes over the connection until it is done: it may block on
// disks, network file systems and slow peers as long as it likes, it becomes the user whose files it touches, and the
// event loop never notices.

int workers_init(void);
// False: nothing was started, `failure` says why.
bool worker_start(struct connection *connection, const Request *request, struct failure *failure);
// Says that a child has been reaped; false when it is none of ours.
bool worker_reaped(pid_t pid, int status);
// The connection is gone; its worker is on its own and about to notice.
void worker_forget(struct connection *connection);

#endif
