#include "failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fail(struct failure *failure, Failure_Code code, const char *format, ...) {
    char message[sizeof failure->message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    failure->code = code;
    text_printable(text_of(message), failure->message, sizeof failure->message);
    return false;
}

bool fail_errno(struct failure *failure, int error, const char *what, struct text subject) {
    char name[300];
    text_printable(subject, name, sizeof name);
    return fail(failure, failure_code_of(error), "cannot %s %s: %s", what, name, strerror(error));
}

Failure_Code failure_code_of(int error) {
    switch (error) {
    case ENOENT:
    case ESRCH:
        return Failure_Code_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
    case EBUSY:
    case ETXTBSY:
        return Failure_Code_PERMISSION_DENIED;
    case EISDIR:
        return Failure_Code_IS_DIRECTORY;
    case ENOTDIR:
        return Failure_Code_NOT_DIRECTORY;
    case EEXIST:
        return Failure_Code_ALREADY_EXISTS;
    case ENOTEMPTY:
        return Failure_Code_NOT_EMPTY;
    case ENOSPC:
    case EDQUOT:
        return Failure_Code_DISK_FULL;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
        return Failure_Code_EXHAUSTED;
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
    case EXDEV:
    case EFBIG:
        return Failure_Code_BAD_REQUEST;
    default:
        return Failure_Code_INTERNAL;
    }
}
