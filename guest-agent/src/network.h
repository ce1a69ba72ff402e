#ifndef SANDGLASS_NETWORK_H
#define SANDGLASS_NETWORK_H

// Brings lo and eth0 up; the addresses are the same in every guest. 0 or -errno.
int network_configure(void);

#endif
