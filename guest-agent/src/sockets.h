#ifndef SANDGLASS_SOCKETS_H
#define SANDGLASS_SOCKETS_H

#include <linux/inet_diag.h>
#include <stdbool.h>
#include <stdint.h>

// TCP connections of user processes that lead out of this guest. After a pause their other ends are gone or believe us to
// be; without a reset, whoever waits for data on one would wait for ever.

// Whether this socket of a dump is such a connection: not between two sockets of this guest, not the agent's own.
bool sockets_is_doomed(const struct inet_diag_msg *socket, uint16_t agent_port);

// Ends all of them: readers and writers get ECONNABORTED at once, the other ends a reset. 0 or -errno; -ETIME: there
// were too many for the time there is, the rest is as it was.
int sockets_reset(uint16_t agent_port);

#endif
