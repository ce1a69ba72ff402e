#ifndef SANDGLASS_CHECK_H
#define SANDGLASS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The smallest test frame: a failed check says where and ends the program.
#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);          \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

#define CHECK_EQUAL(actual, expected)                                                          \
    do {                                                                                       \
        long long actual_value = (long long)(actual);                                          \
        long long expected_value = (long long)(expected);                                      \
        if (actual_value != expected_value) {                                                  \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #actual,      \
                    actual_value, expected_value);                                             \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

struct test {
    const char *sentence;
    void (*run)(void);
};

static inline void run_tests(const struct test *tests, size_t count) {
    for (size_t i = 0; i < count; i++) {
        tests[i].run();
        printf("ok  %s\n", tests[i].sentence);
        fflush(stdout);
    }
}

#define RUN_TESTS(tests) run_tests(tests, sizeof(tests) / sizeof((tests)[0]))

#endif
