#define _GNU_SOURCE
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "hostname.h"
#include "log.h"
#include "network.h"
#include "renew.h"
#include "strays.h"

enum {
    ROOT_WAIT_MILLIS = 10000,  // the disk's driver may need a moment after its module is loaded
    ROOT_RETRY_MILLIS = 10,
    OPEN_FILES_SOFT = 65536,
    OPEN_FILES_HARD = 524288,
    MODULE_LIST_MAX = 8192,
};

#define ROOT_DEVICE "/dev/vda"
#define NEW_ROOT "/newroot"

struct mount_point {
    const char *source;
    const char *target;
    const char *type;
    unsigned long flags;
    const char *options;
};

static const struct mount_point initial_mounts[] = {
    {"devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755"},
    {"proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    {"sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
};

static const struct mount_point root_mounts[] = {
    {"devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755"},
    {"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
    {"tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    {"sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    {"cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    {"tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"},
    {"tmpfs", "/run/lock", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=5m"},
};

static void step(const char *what, int status) {
    if (status < 0)
        log_line("%s: %s", what, strerror(-status));
    else
        log_line("%s", what);
}

static int mount_one(const struct mount_point *point) {
    mkdir(point->target, 0755);
    return mount(point->source, point->target, point->type, point->flags, point->options) < 0 ? -errno : 0;
}

static void mount_all(const struct mount_point *points, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int status = mount_one(&points[i]);
        // The kernel mounts /dev by itself in some configurations.
        if (status < 0 && status != -EBUSY)
            step(points[i].target, status);
    }
}

static void take_console(void) {
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);
    if (fd < 0)
        return;
    for (int target = 0; target <= 2; target++)
        dup2(fd, target);
    if (fd > 2)
        close(fd);
}

static int load_module(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "/modules/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST ? -errno : 0;
    close(fd);
    unlink(path);  // the initramfs is memory
    return status;
}

static void load_modules(void) {
    char list[MODULE_LIST_MAX];
    int fd = open("/modules/order", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, list, sizeof list - 1);
    if (fd >= 0)
        close(fd);
    if (n < 0) {
        step("no modules", -errno);
        return;
    }
    list[n] = 0;
    char *rest = NULL;
    for (char *name = strtok_r(list, " \t\r\n", &rest); name; name = strtok_r(NULL, " \t\r\n", &rest)) {
        int status = load_module(name);
        if (status < 0)
            step(name, status);
    }
    step("modules loaded", 0);
}

static void rest(long millis) {
    nanosleep(&(struct timespec){.tv_nsec = millis * 1000000}, NULL);
}

static int mount_root(void) {
    int64_t deadline = clock_millis() + ROOT_WAIT_MILLIS;
    mkdir(NEW_ROOT, 0755);
    for (;;) {
        // Without times of access: reading would write to every clone's memory and disk.
        if (mount(ROOT_DEVICE, NEW_ROOT, "ext4", MS_NOATIME, NULL) == 0)
            return 0;
        bool waiting = errno == ENOENT || errno == ENXIO || errno == ENODEV;
        if (!waiting || clock_millis() >= deadline)
            return -errno;
        rest(ROOT_RETRY_MILLIS);
    }
}

static _Noreturn void give_up(const char *what, int status) {
    step(what, status);
    log_line("powering off");
    reboot(RB_POWER_OFF);
    for (;;)
        rest(999);
}

// The agent goes on running from the initramfs, of which only its own file is left.
static int switch_root(void) {
    umount2("/dev", MNT_DETACH);
    umount2("/sys", MNT_DETACH);
    umount2("/proc", MNT_DETACH);
    unlink("/modules/order");
    unlink("/init");
    if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

static void make_device_links(void) {
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
                                           {"pts/ptmx", "/dev/ptmx"}};
    unlink("/dev/ptmx");
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
            step(links[i][1], -errno);
    chmod("/dev/net/tun", 0666);
}

static void write_resolver(void) {
    static const char text[] = "nameserver 169.254.0.22\n";
    unlink("/etc/resolv.conf");  // in many images a link to a program's file
    int fd = open("/etc/resolv.conf", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int status = fd < 0 || write(fd, text, sizeof text - 1) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (status < 0)
        step("/etc/resolv.conf", status);
}

static void write_setting(const char *path, const char *value) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        step(path, -errno);
    if (fd >= 0)
        close(fd);
}

// The host orders and bounds what it is asked to write: doing that here too is work and timers for nothing.
static void leave_disk_to_host(void) {
    write_setting("/sys/block/vda/queue/scheduler", "none");
    write_setting("/sys/block/vda/queue/wbt_lat_usec", "0");
}

// Limits that every process inherits.
static void raise_limits(void) {
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){OPEN_FILES_SOFT, OPEN_FILES_HARD});
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, RLIM_INFINITY});
}

// A guest full of busy processes still answers, and can still be frozen. What is started here runs as usual.
static int go_first(void) {
    enum { RESET_ON_FORK = 0x40000000 };  // linux/sched.h
    struct sched_param priority = {.sched_priority = 1};
    // Not by the C library's function, which refuses.
    return syscall(SYS_sched_setscheduler, 0, SCHED_RR | RESET_ON_FORK, &priority) < 0 ? -errno : 0;
}

static void enter_root(void) {
    int status = mount_root();
    if (status < 0)
        give_up("cannot mount the root disk " ROOT_DEVICE, status);
    status = switch_root();
    if (status < 0)
        give_up("cannot switch to the root disk", status);
    step("root disk mounted", 0);
}

void boot(void) {
    umask(022);
    mount_all(initial_mounts, sizeof initial_mounts / sizeof initial_mounts[0]);
    take_console();
    load_modules();
    enter_root();
    mount_all(root_mounts, sizeof root_mounts / sizeof root_mounts[0]);
    take_console();
    make_device_links();
    step("cgroup for user processes", cgroup_open("/sys/fs/cgroup/user"));
    step("other cgroups", strays_open("/sys/fs/cgroup", "user"));
    step("network", network_configure());
    write_resolver();
    leave_disk_to_host();
    hostname_link();
    step("host name", hostname_apply("sandglass"));
    step("random numbers", renew_prepare());
    raise_limits();
    step("priority", go_first());
}
