#ifndef SANDGLASS_FAILURE_H
#define SANDGLASS_FAILURE_H

#include "codec.h"

// Why a request is refused, in the words of the protocol.
struct failure {
    Failure_Code code;
    char message[512];
};

// Both return false, so that a check can end in `return fail(…)`.
__attribute__((format(printf, 3, 4))) bool fail(struct failure *failure, Failure_Code code, const char *format, ...);
// "cannot <what> <subject>: <reason>", with the code that belongs to the errno value.
bool fail_errno(struct failure *failure, int error, const char *what, struct text subject);

Failure_Code failure_code_of(int error);

#endif
