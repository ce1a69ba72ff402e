#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boot.h"
#include "cgroup.h"
#include "connection.h"
#include "exec.h"
#include "log.h"
#include "loop.h"
#include "pipes.h"
#include "power.h"
#include "renew.h"
#include "version.h"
#include "worker.h"

// Set on the command line, when this is not PID 1 but a test's agent in an ordinary process.
struct options {
    char address[64];
    uint16_t port;
    const char *port_file;   // where to write the port, when 0 was asked for
    const char *token_file;  // 32 bytes
    const char *cgroup;      // a cgroup v2 directory to run processes in
    bool until_end_of_input; // end when standard input ends, so that no test leaves an agent behind
};

static struct watch signals;
static struct watch standard_input;

static void reap_all(void) {
    int status;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG))
        if (!exec_reaped(pid, status))
            worker_reaped(pid, status);  // or an orphan
}

static void signal_ready(struct watch *watch, uint32_t events) {
    (void)events;
    struct signalfd_siginfo information;
    bool ending = false;
    while (read(watch->fd, &information, sizeof information) == (ssize_t)sizeof information)
        ending |= information.ssi_signo != SIGCHLD;
    reap_all();
    if (ending)
        power_off();
}

// Before anything else, so that no signal finds a default action or is missed.
static int block_signals(void) {
    sigset_t every, handled;
    sigfillset(&every);
    sigprocmask(SIG_SETMASK, &every, NULL);
    sigemptyset(&handled);
    sigaddset(&handled, SIGCHLD);
    if (getpid() != 1) {  // of PID 1 nobody asks anything by signals
        sigaddset(&handled, SIGTERM);
        sigaddset(&handled, SIGINT);
    }
    return signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void input_ready(struct watch *watch, uint32_t events) {
    char scratch[256];
    (void)events;
    if (read(watch->fd, scratch, sizeof scratch) <= 0)
        power_off();
}

static _Noreturn void bail(const char *what, int status) {
    log_line("%s: %s", what, strerror(-status));
    exit(1);
}

static void check(const char *what, int status) {
    if (status >= 0)
        return;
    if (getpid() != 1)
        bail(what, status);
    log_line("%s: %s", what, strerror(-status));
}

static void parse_listen(const char *text, struct options *options) {
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
    size_t length = colon ? (size_t)(colon - text) : 0;
    if (!colon || length >= sizeof options->address || *end != 0 || port > UINT16_MAX)
        bail("--listen takes ADDRESS:PORT", -EINVAL);
    memcpy(options->address, text, length);
    options->address[length] = 0;
    options->port = (uint16_t)port;
}

static void parse_options(int argc, char **argv, struct options *options) {
    static const struct option known[] = {
        {"listen", required_argument, NULL, 'l'},      {"port-file", required_argument, NULL, 'p'},
        {"token-file", required_argument, NULL, 't'},  {"cgroup", required_argument, NULL, 'c'},
        {"until-end-of-input", no_argument, NULL, 'e'}, {NULL, 0, NULL, 0},
    };
    *options = (struct options){.address = "0.0.0.0", .port = AGENT_PORT};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (option == 'l')
            parse_listen(optarg, options);
        else if (option == 'p')
            options->port_file = optarg;
        else if (option == 't')
            options->token_file = optarg;
        else if (option == 'c')
            options->cgroup = optarg;
        else if (option == 'e')
            options->until_end_of_input = true;
        else
            bail("usage: --listen ADDRESS:PORT [--port-file FILE] [--token-file FILE] [--cgroup DIRECTORY] "
                 "[--until-end-of-input]",
                 -EINVAL);
    }
}

static void read_token(const char *path) {
    unsigned char token[TOKEN_SIZE];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, token, sizeof token);
    if (n != TOKEN_SIZE)
        bail("cannot read 32 bytes from --token-file", n < 0 ? -errno : -EINVAL);
    close(fd);
    token_set(token);
}

static void prepare_machine(void) {
    log_line("guest agent %s", AGENT_VERSION);
    renew_owns_machine(true);
    power_owns_machine(true);
    boot();
}

// What a test's own parents left open is not for the processes started here.
static void keep_to_ourselves(void) {
    enum { CLOSE_RANGE_CLOEXEC_FLAG = 4 };  // linux/close_range.h
    syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC_FLAG);
}

static void prepare_test(const struct options *options) {
    keep_to_ourselves();
    check("become a subreaper", prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0);
    if (options->token_file)
        read_token(options->token_file);
    if (options->cgroup)
        check("--cgroup", cgroup_open(options->cgroup));
}

static void watch_input(const struct options *options) {
    if (options->until_end_of_input)
        check("watch standard input", loop_add(&standard_input, STDIN_FILENO, EPOLLIN, input_ready));
}

static void write_port(const struct options *options) {
    char temporary[4096];
    if (!options->port_file)
        return;
    snprintf(temporary, sizeof temporary, "%s.tmp", options->port_file);
    FILE *file = fopen(temporary, "we");
    if (!file)
        bail("--port-file", -errno);
    fprintf(file, "%u\n", (unsigned)connection_port());
    fclose(file);
    if (rename(temporary, options->port_file) < 0)
        bail("--port-file", -errno);
}

int main(int argc, char **argv) {
    struct options options = {.address = "0.0.0.0", .port = AGENT_PORT};
    int signal_fd = block_signals();
    if (getpid() == 1) {
        prepare_machine();
    } else {
        parse_options(argc, argv, &options);
        prepare_test(&options);
    }
    check("event loop", loop_open());
    check("signals", loop_add(&signals, signal_fd, EPOLLIN, signal_ready));
    check("pipes", pipes_init());
    check("workers", workers_init());
    check("listen", connection_listen(options.address, options.port));
    write_port(&options);
    watch_input(&options);
    log_line("ready");
    loop_run();
    return 0;
}
