#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "log.h"

enum {
    EVENTS_PER_ROUND = 64,
    GRAVES_MAX = 1024,  // more than there can be connections and execs
};

static int epoll_fd = -1;
static struct timer *timers;
static void *graves[GRAVES_MAX];
static size_t graves_used;
static bool running;

int loop_open(void) {
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return epoll_fd < 0 ? -errno : 0;
}

int loop_add(struct watch *watch, int fd, uint32_t events, void (*ready)(struct watch *, uint32_t)) {
    *watch = (struct watch){.fd = fd, .events = events, .ready = ready};
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    watch->ready = NULL;
    return -errno;
}

void loop_change(struct watch *watch, uint32_t events) {
    if (!watch->ready || watch->events == events)
        return;
    watch->events = events;
    struct epoll_event event = {.events = events, .data.ptr = watch};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_remove(struct watch *watch) {
    if (!watch->ready)
        return;
    // Not left to close(): a forked worker may still share the open file, which would go on reporting events.
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->ready = NULL;
}

void loop_close(struct watch *watch) {
    loop_remove(watch);
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = -1;
}

void timer_start(struct timer *timer, int64_t delay_millis, void (*fire)(struct timer *)) {
    timer_stop(timer);
    *timer = (struct timer){.at = clock_millis() + delay_millis, .fire = fire, .next = timers};
    if (timers)
        timers->previous = timer;
    timers = timer;
}

void timer_stop(struct timer *timer) {
    if (!timer->fire)
        return;
    if (timer->previous)
        timer->previous->next = timer->next;
    else
        timers = timer->next;
    if (timer->next)
        timer->next->previous = timer->previous;
    timer->fire = NULL;
}

void loop_free_later(void *object) {
    if (graves_used < GRAVES_MAX)
        graves[graves_used++] = object;
}

static void bury(void) {
    while (graves_used > 0)
        free(graves[--graves_used]);
}

static struct timer *earliest(void) {
    struct timer *first = timers;
    for (struct timer *timer = timers; timer; timer = timer->next)
        if (timer->at < first->at)
            first = timer;
    return first;
}

static int wait_millis(void) {
    struct timer *first = earliest();
    if (!first)
        return -1;
    int64_t left = first->at - clock_millis();
    return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void fire_due(void) {
    if (!timers)
        return;
    int64_t now = clock_millis();
    for (struct timer *first = earliest(); first && first->at <= now; first = earliest()) {
        void (*fire)(struct timer *) = first->fire;
        timer_stop(first);
        fire(first);
    }
}

void loop_run(void) {
    struct epoll_event events[EVENTS_PER_ROUND];
    for (running = true; running;) {
        int count = epoll_wait(epoll_fd, events, EVENTS_PER_ROUND, wait_millis());
        for (int i = 0; i < count; i++) {
            struct watch *watch = events[i].data.ptr;
            if (watch->ready)
                watch->ready(watch, events[i].events);
        }
        fire_due();
        bury();
    }
}

void loop_stop(void) {
    running = false;
}
