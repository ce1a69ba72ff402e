#ifndef SANDGLASS_POWER_H
#define SANDGLASS_POWER_H

#include <stdbool.h>

void power_owns_machine(bool owns);
// Ends user processes (SIGTERM, two seconds, SIGKILL), writes everything to disk and switches off. A test's
// agent ends its execs and the loop instead, and returns.
void power_off(void);

#endif
