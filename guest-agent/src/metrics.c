#define _GNU_SOURCE
#include "metrics.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cgroup.h"
#include "exec.h"

static void read_text(const char *path, char *text, size_t capacity) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, capacity - 1);
    text[n > 0 ? n : 0] = 0;
    if (fd >= 0)
        close(fd);
}

// All but idle and waiting for disks, over all processors.
static uint64_t cpu_usage_micros(void) {
    enum { FIELDS = 8, IDLE_FIELD = 3, IOWAIT_FIELD = 4 };
    char text[512];
    read_text("/proc/stat", text, sizeof text);
    char *at = strchr(text, ' ');
    uint64_t ticks = 0;
    for (int i = 0; at && i < FIELDS; i++) {
        uint64_t value = strtoull(at, &at, 10);
        if (i != IDLE_FIELD && i != IOWAIT_FIELD)
            ticks += value;
    }
    return ticks * (1000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

static uint64_t memory_field(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

void metrics_read(Metrics *metrics) {
    char memory[512];
    struct statvfs disk;
    *metrics = (Metrics){.cpu_usage_micros = cpu_usage_micros()};
    read_text("/proc/meminfo", memory, sizeof memory);
    metrics->memory_total_bytes = memory_field(memory, "MemTotal:");
    metrics->memory_available_bytes = memory_field(memory, "MemAvailable:");
    if (statvfs("/", &disk) == 0) {
        metrics->disk_total_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
        metrics->disk_available_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    }
    metrics->processes = cgroup_user_fd() >= 0 ? cgroup_processes() : (uint32_t)exec_running_count();
}
