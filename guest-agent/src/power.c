#define _GNU_SOURCE
#include "power.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "connection.h"
#include "exec.h"
#include "log.h"
#include "loop.h"

enum { TERMINATION_MILLIS = 2000 };

static bool owns_machine;

void power_owns_machine(bool owns) {
    owns_machine = owns;
}

static void await_no_children(int64_t deadline) {
    struct timespec moment = {.tv_nsec = 10000000};
    while (clock_millis() < deadline) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0 && errno == ECHILD)
            return;
        if (pid == 0)
            nanosleep(&moment, NULL);
    }
}

static _Noreturn void switch_off(void) {
    sync();
    mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}

void power_off(void) {
    if (!owns_machine) {
        exec_kill_all();
        loop_stop();
        return;
    }
    log_line("powering off");
    connection_flush_all();
    cgroup_freeze(false);
    kill(-1, SIGTERM);
    await_no_children(clock_millis() + TERMINATION_MILLIS);
    kill(-1, SIGKILL);
    await_no_children(clock_millis() + TERMINATION_MILLIS);
    switch_off();
}
