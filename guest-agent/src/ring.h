#ifndef SANDGLASS_RING_H
#define SANDGLASS_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The last output of one exec. Bytes are numbered from 0 over all streams together and byte n lives at
// n modulo the capacity, which grows by powers of four up to RING_MAX as output comes.
enum { RING_MAX = 1 << 20, SEGMENTS_MAX = 16384 };

// A run of bytes of one stream, ending before `end`.
struct segment {
    uint64_t end;
    int stream;
};

struct ring {
    unsigned char *data;
    size_t capacity;
    uint64_t begin;  // oldest byte kept
    uint64_t end;    // number of bytes ever written
    struct segment *segments;
    size_t segments_capacity;
    size_t segments_first;
    size_t segments_count;
};

// Where up to *size bytes may be put next so that nothing from `floor` on is overwritten. NULL: no room.
unsigned char *ring_space(struct ring *ring, uint64_t floor, size_t *size);
// Says that n bytes of that stream were put there; `floor` as before.
void ring_commit(struct ring *ring, int stream, size_t n);

// Contiguous bytes of one stream from `seq` on, at least one; seq must be in [begin, end).
const unsigned char *ring_peek(const struct ring *ring, uint64_t seq, int *stream, size_t *size);

void ring_free(struct ring *ring);

#endif
