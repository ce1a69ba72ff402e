#ifndef SANDGLASS_SERVE_H
#define SANDGLASS_SERVE_H

#include "connection.h"

// Carries out one request. `request` points into the connection's buffer.
void serve(struct connection *connection, const Request *request);

#endif
