#define _GNU_SOURCE
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

void log_line(const char *format, ...) {
    char line[512];
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    int used = snprintf(line, sizeof line, "[%5ld.%03ld] sandglass: ", (long)now.tv_sec, now.tv_nsec / 1000000);
    va_list arguments;
    va_start(arguments, format);
    used += vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
    va_end(arguments);
    if (used > (int)sizeof line - 2)
        used = (int)sizeof line - 2;
    line[used] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)used + 1);
    (void)ignored;
}

int64_t clock_millis(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_unix_nanos(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
