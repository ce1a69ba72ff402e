#define _GNU_SOURCE
#include "sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

enum {
    ANSWER_SIZE = 32768,
    ROUNDS_MAX = 16,
    RESET_MILLIS = 3000,  // some 10,000 connections under emulation
    // Not: closed, listening, waiting out their time.
    CONNECTED_STATES = 0xfff & ~(1 << TCP_CLOSE | 1 << TCP_LISTEN | 1 << TCP_TIME_WAIT),
};

struct query {
    struct nlmsghdr header;
    struct inet_diag_req_v2 body;
};

// Dumps come on the one, while what they name is destroyed through the other.
struct diagnosis {
    int dump;
    int destroy;
    uint16_t agent_port;
    int64_t deadline;
};

static bool is_loopback(const uint32_t address[4], uint8_t family) {
    if (family == AF_INET)
        return ntohl(address[0]) >> 24 == IN_LOOPBACKNET;
    if (address[0] == 0 && address[1] == 0 && address[2] == htonl(0xffff))  // IPv4 in an IPv6 socket
        return ntohl(address[3]) >> 24 == IN_LOOPBACKNET;
    return address[0] == 0 && address[1] == 0 && address[2] == 0 && address[3] == htonl(1);
}

bool sockets_is_doomed(const struct inet_diag_msg *socket, uint16_t agent_port) {
    const struct inet_diag_sockid *id = &socket->id;
    size_t size = socket->idiag_family == AF_INET ? 4 : 16;
    if (is_loopback(id->idiag_dst, socket->idiag_family) || memcmp(id->idiag_src, id->idiag_dst, size) == 0)
        return false;
    return socket->idiag_family != AF_INET || id->idiag_sport != htons(agent_port);
}

static int ask(int fd, struct query *query) {
    query->header.nlmsg_len = sizeof *query;
    query->body.sdiag_protocol = IPPROTO_TCP;
    return send(fd, query, sizeof *query, 0) < 0 ? -errno : 0;
}

static int destroy(const struct diagnosis *diagnosis, const struct inet_diag_msg *socket) {
    struct query query = {
        .header = {.nlmsg_type = SOCK_DESTROY, .nlmsg_flags = NLM_F_REQUEST},
        .body = {.sdiag_family = socket->idiag_family, .id = socket->id},
    };
    return ask(diagnosis->destroy, &query);
}

// One message of a dump. 1: the last one; otherwise 0 or -errno.
static int take(const struct diagnosis *diagnosis, const struct nlmsghdr *header, size_t *destroyed) {
    if (header->nlmsg_type == NLMSG_DONE)
        return 1;
    if (header->nlmsg_type == NLMSG_ERROR)
        return ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
    const struct inet_diag_msg *socket = NLMSG_DATA(header);
    if (header->nlmsg_len < NLMSG_LENGTH(sizeof *socket) || !sockets_is_doomed(socket, diagnosis->agent_port))
        return 0;
    int status = destroy(diagnosis, socket);
    if (status == 0)
        ++*destroyed;
    return status;
}

static int take_all(const struct diagnosis *diagnosis, const unsigned char *answer, size_t size, size_t *destroyed) {
    int status = 0;
    for (const struct nlmsghdr *header = (const void *)answer; status == 0 && NLMSG_OK(header, size);
         header = (const void *)((const unsigned char *)header + NLMSG_ALIGN(header->nlmsg_len))) {
        status = take(diagnosis, header, destroyed);
        size -= NLMSG_ALIGN(header->nlmsg_len) < size ? NLMSG_ALIGN(header->nlmsg_len) : size;
    }
    return status;
}

static int reset_once(const struct diagnosis *diagnosis, uint8_t family, size_t *destroyed) {
    static unsigned char answer[ANSWER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
    struct query query = {
        .header = {.nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = family, .idiag_states = CONNECTED_STATES},
    };
    int status = ask(diagnosis->dump, &query);
    while (status == 0) {
        ssize_t n = recv(diagnosis->dump, answer, sizeof answer, 0);
        status = n < 0 ? -errno : take_all(diagnosis, answer, (size_t)n, destroyed);
        if (status == 0 && clock_millis() > diagnosis->deadline)
            status = -ETIME;
    }
    return status < 0 ? status : 0;
}

// A dump goes on by counting, and may step over sockets when others before them vanish: repeated until none is left.
static int reset_family(const struct diagnosis *diagnosis, uint8_t family) {
    size_t destroyed = 1;
    int status = 0;
    for (int round = 0; status == 0 && destroyed > 0 && round < ROUNDS_MAX; round++) {
        destroyed = 0;
        status = reset_once(diagnosis, family, &destroyed);
    }
    return status;
}

static int open_diagnosis(void) {
    return socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}

int sockets_reset(uint16_t agent_port) {
    struct diagnosis diagnosis = {.dump = open_diagnosis(), .destroy = open_diagnosis(), .agent_port = agent_port,
                                  .deadline = clock_millis() + RESET_MILLIS};
    int status = diagnosis.dump < 0 || diagnosis.destroy < 0 ? -errno : 0;
    if (status == 0)
        status = reset_family(&diagnosis, AF_INET);
    if (status == 0)
        status = reset_family(&diagnosis, AF_INET6);
    if (diagnosis.dump >= 0)
        close(diagnosis.dump);
    if (diagnosis.destroy >= 0)
        close(diagnosis.destroy);
    return status;
}
