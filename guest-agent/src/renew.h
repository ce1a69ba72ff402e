#ifndef SANDGLASS_RENEW_H
#define SANDGLASS_RENEW_H

#include "failure.h"

// What makes a clone an individual: token, clock, randomness, host name.

enum { TOKEN_SIZE = 32, ENTROPY_MIN = 32, ENTROPY_MAX = 512 };

// Whether the machine is ours (PID 1) or borrowed by a test: then clock and host name are left alone.
void renew_owns_machine(bool owns);

void token_set(const unsigned char token[TOKEN_SIZE]);
// In constant time.
bool token_matches(struct text token);

bool renew_check(const Renew *renew, struct failure *failure);
// In the order of guest.proto; stops at the first thing that fails.
bool renew_apply(const Renew *renew, struct failure *failure);

// Writes /etc/hosts for that name and makes it the host name.
int hostname_apply(const char *name);

#endif
