#ifndef SANDGLASS_HOSTNAME_H
#define SANDGLASS_HOSTNAME_H

#include <stddef.h>

enum { HOSTNAME_MAX = 63 };

// The host name, and a line of /etc/hosts that resolves it. The user's own lines there stay. A name that is set already
// costs nothing: what a resumed guest's user did to the file stays too. 0 or -errno.
int hostname_apply(const char *name);

// /etc/hostname shows the kernel's name from now on.
void hostname_link(void);

// Puts the line for that name into a file like /etc/hosts. Ours is always as long, so that it is replaced in place: no
// block is allocated and nothing is forced to disk before a clone's first answer. 0 or -errno.
int hosts_name(const char *path, const char *name);

#endif
