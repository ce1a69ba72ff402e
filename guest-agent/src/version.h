#ifndef SANDGLASS_VERSION_H
#define SANDGLASS_VERSION_H

#define AGENT_VERSION "0.1.0"

// Of guest.proto. A host speaks every version from 1 on, since this program may stay frozen for years.
enum { PROTOCOL_MIN = 1, PROTOCOL_MAX = 1, AGENT_PORT = 49983 };

#endif
