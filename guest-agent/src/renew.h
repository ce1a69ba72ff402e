#ifndef SANDGLASS_RENEW_H
#define SANDGLASS_RENEW_H

#include "failure.h"

// What makes a clone an individual: token, clock, randomness, host name; and what ends its past: connections.

enum { TOKEN_SIZE = 32, ENTROPY_MIN = 32, ENTROPY_MAX = 512 };

// Whether the machine is ours (PID 1) or borrowed by a test: then clock and host name are left alone.
void renew_owns_machine(bool owns);

// Opens what a renewal needs, so that it need not do so after a restore. 0 or -errno.
int renew_prepare(void);

void token_set(const unsigned char token[TOKEN_SIZE]);
// In constant time.
bool token_matches(struct text token);

bool renew_check(const Renew *renew, struct failure *failure);
// In the order of guest.proto; stops at the first thing that fails. The agent itself is reached at that port.
bool renew_apply(const Renew *renew, uint16_t agent_port, struct failure *failure);

#endif
