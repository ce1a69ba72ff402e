#ifndef SANDGLASS_FILE_H
#define SANDGLASS_FILE_H

#include "session.h"

// Carries out one file operation, replies included. Runs in a worker process, which it may turn into another user.
void file_serve(struct session *session, const Request *request);

#endif
