#ifndef SANDGLASS_LOOP_H
#define SANDGLASS_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The one event loop. Everything the agent does happens in a callback of a watch or a timer; none may block.

#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

// A descriptor under watch, level-triggered. Lives inside the object it belongs to.
struct watch {
    int fd;
    uint32_t events;
    void (*ready)(struct watch *watch, uint32_t events);
};

// Fires once, not before `at` (clock_millis). Lives inside the object it belongs to.
struct timer {
    int64_t at;
    void (*fire)(struct timer *timer);
    struct timer *previous;
    struct timer *next;
};

int loop_open(void);
int loop_add(struct watch *watch, int fd, uint32_t events, void (*ready)(struct watch *, uint32_t));
void loop_change(struct watch *watch, uint32_t events);
// Stops watching without closing; safe when it was not watched.
void loop_remove(struct watch *watch);
// loop_remove and close; the descriptor becomes -1.
void loop_close(struct watch *watch);

void timer_start(struct timer *timer, int64_t delay_millis, void (*fire)(struct timer *));
// Safe when it is not running.
void timer_stop(struct timer *timer);

// Frees after the current round of events, of which some may still name the object's watches.
void loop_free_later(void *object);

void loop_run(void);
// Lets loop_run return (tests only; PID 1 never does).
void loop_stop(void);

#endif
