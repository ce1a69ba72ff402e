#ifndef SANDGLASS_VERSION_H
#define SANDGLASS_VERSION_H

#define AGENT_VERSION "0.1.0"

// Of guest.proto. A host speaks every version from 1 on, since this program may stay frozen for years: a test compiles
// agents of the past and of the future.
#ifndef PROTOCOL_MIN
#define PROTOCOL_MIN 1
#endif
#ifndef PROTOCOL_MAX
#define PROTOCOL_MAX 2
#endif

enum { AGENT_PORT = 49983 };

#endif
