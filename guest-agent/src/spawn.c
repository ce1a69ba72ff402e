#define _GNU_SOURCE
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef __x86_64__
#error "clone_child is written for x86-64"
#endif

// The child borrows the agent's memory (CLONE_VM) while the agent waits (CLONE_VFORK): one stack is enough.
static unsigned char child_stack[64 * 1024] __attribute__((aligned(16)));

// clone3 with a stack of the child's own, since glibc's and musl's wrappers cannot: the child calls
// run(argument), which does not return.
static long clone_child(struct clone_args *args, void (*run)(void *), void *argument) {
    register long result __asm__("rax") = SYS_clone3;
    register struct clone_args *first __asm__("rdi") = args;
    register size_t second __asm__("rsi") = sizeof *args;
    register void (*function)(void *) __asm__("r12") = run;
    register void *parameter __asm__("r13") = argument;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r13, %%rdi\n\t"
                     "call *%%r12\n\t"
                     "hlt\n"
                     "1:"
                     : "+r"(result)
                     : "r"(first), "r"(second), "r"(function), "r"(parameter)
                     : "rcx", "r11", "memory");
    return result;
}

static _Noreturn void give_up(struct spawn *spawn, enum spawn_step step, int error) {
    spawn->failed = step;
    spawn->failure = error;
    _exit(step == SPAWN_EXECUTE && error == ENOENT ? 127 : 126);
}

static int take_descriptors(const struct spawn *spawn) {
    return dup2(spawn->input, 0) < 0 || dup2(spawn->output, 1) < 0 || dup2(spawn->error, 2) < 0 ? -1 : 0;
}

static int enter_directory(const struct spawn *spawn) {
    if (chdir(spawn->directory) == 0)
        return 0;
    return spawn->directory_optional ? chdir("/") : -1;
}

// One directory of PATH: does not return when the program runs. Looking first is far cheaper than execve,
// which sets up a whole address space before it finds that the file is not there.
static int try_directory(const struct spawn *spawn, const char *directory, size_t length) {
    char file[PATH_MAX];
    const char *name = spawn->argv[0];
    size_t name_length = strlen(name);
    if (length + name_length + 2 > sizeof file)
        return ENAMETOOLONG;
    memcpy(file, directory, length);
    if (length > 0)
        file[length++] = '/';
    memcpy(file + length, name, name_length + 1);
    if (faccessat(AT_FDCWD, file, F_OK, 0) < 0)
        return errno;
    execve(file, spawn->argv, spawn->envp);
    return errno;
}

static int search_path(const struct spawn *spawn) {
    int worst = ENOENT;
    for (const char *at = spawn->path;; at++) {
        size_t length = strcspn(at, ":");
        int error = try_directory(spawn, at, length);
        if (error != ENOENT && error != ENOTDIR)
            worst = error;
        at += length;
        if (*at == 0)
            return worst;
    }
}

static int execute(const struct spawn *spawn) {
    if (!strchr(spawn->argv[0], '/'))
        return spawn->argv[0][0] ? search_path(spawn) : ENOENT;
    execve(spawn->argv[0], spawn->argv, spawn->envp);
    return errno;
}

// Runs in the child, with every signal blocked and no handler ever installed.
static void child(void *argument) {
    struct spawn *spawn = argument;
    setsid();
    if (take_descriptors(spawn) < 0 || (spawn->terminal && ioctl(0, TIOCSCTTY, 0) < 0))
        give_up(spawn, SPAWN_TERMINAL, errno);
    if (users_become(spawn->user) < 0)
        give_up(spawn, SPAWN_CREDENTIALS, errno);
    if (enter_directory(spawn) < 0)
        give_up(spawn, SPAWN_DIRECTORY, errno);
    uint64_t none = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
    give_up(spawn, SPAWN_EXECUTE, execute(spawn));
}

pid_t spawn(struct spawn *spawn) {
    spawn->failed = SPAWN_OK;
    struct clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | (spawn->cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)child_stack,
        .stack_size = sizeof child_stack,
        .cgroup = spawn->cgroup >= 0 ? (unsigned)spawn->cgroup : 0U,
    };
    return (pid_t)clone_child(&args, child, spawn);
}
