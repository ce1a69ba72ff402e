#ifndef SANDGLASS_LOG_H
#define SANDGLASS_LOG_H

#include <stdint.h>

// One line with the seconds since the kernel started. Never blocks for long: the console is bounded by the host.
__attribute__((format(printf, 1, 2))) void log_line(const char *format, ...);

// Milliseconds on the monotonic clock, and nanoseconds on the wall clock.
int64_t clock_millis(void);
int64_t clock_unix_nanos(void);

#endif
