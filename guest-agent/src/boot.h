#ifndef SANDGLASS_BOOT_H
#define SANDGLASS_BOOT_H

// From the initramfs to a machine that can run commands. Only a root disk that cannot be mounted ends it, by
// powering off; anything else that fails is said on the console, and the agent serves what it can.
void boot(void);

#endif
