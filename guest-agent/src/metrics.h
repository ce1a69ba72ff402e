#ifndef SANDGLASS_METRICS_H
#define SANDGLASS_METRICS_H

#include "codec.h"

// What cannot be read stays 0.
void metrics_read(Metrics *metrics);

#endif
