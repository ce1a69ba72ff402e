#define _GNU_SOURCE
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define GUEST_ADDRESS "169.254.0.21"
#define GUEST_NETMASK "255.255.255.252"
#define GATEWAY_ADDRESS "169.254.0.22"

static struct sockaddr address_of(const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct sockaddr generic;
    inet_pton(AF_INET, text, &address.sin_addr);
    memcpy(&generic, &address, sizeof generic);
    return generic;
}

static struct ifreq request_for(const char *interface) {
    struct ifreq request = {0};
    strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
    return request;
}

static int set_address(int fd, const char *interface) {
    struct ifreq request = request_for(interface);
    request.ifr_addr = address_of(GUEST_ADDRESS);
    if (ioctl(fd, SIOCSIFADDR, &request) < 0)
        return -errno;
    request.ifr_netmask = address_of(GUEST_NETMASK);
    return ioctl(fd, SIOCSIFNETMASK, &request) < 0 ? -errno : 0;
}

static int bring_up(int fd, const char *interface) {
    struct ifreq request = request_for(interface);
    if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return -errno;
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

static int add_default_route(int fd) {
    struct rtentry route = {
        .rt_dst = address_of("0.0.0.0"),
        .rt_genmask = address_of("0.0.0.0"),
        .rt_gateway = address_of(GATEWAY_ADDRESS),
        .rt_flags = RTF_UP | RTF_GATEWAY,
    };
    return ioctl(fd, SIOCADDRT, &route) < 0 && errno != EEXIST ? -errno : 0;
}

static int configure_ethernet(int fd) {
    int status = set_address(fd, "eth0");
    if (status == 0)
        status = bring_up(fd, "eth0");
    return status == 0 ? add_default_route(fd) : status;
}

int network_configure(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int loopback = bring_up(fd, "lo");
    int ethernet = configure_ethernet(fd);
    close(fd);
    return loopback < 0 ? loopback : ethernet;
}
