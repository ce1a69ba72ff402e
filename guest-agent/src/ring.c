#include "ring.h"

#include <stdlib.h>
#include <string.h>

enum { CAPACITY_FIRST = 4096, SEGMENTS_FIRST = 16 };

static size_t position(const struct ring *ring, uint64_t seq) {
    return (size_t)(seq & (ring->capacity - 1));
}

static struct segment *segment_at(const struct ring *ring, size_t index) {
    return &ring->segments[(ring->segments_first + index) & (ring->segments_capacity - 1)];
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

// Copies what is kept to its places in a larger buffer.
static bool grow_data(struct ring *ring) {
    if (ring->capacity == RING_MAX)
        return false;
    size_t capacity = ring->capacity == 0 ? CAPACITY_FIRST : smaller(ring->capacity * 4, RING_MAX);
    unsigned char *data = malloc(capacity);
    if (!data)
        return false;
    for (uint64_t seq = ring->begin; seq < ring->end;) {
        size_t from = position(ring, seq);
        size_t to = (size_t)(seq & (capacity - 1));
        size_t n = smaller((size_t)(ring->end - seq), smaller(ring->capacity - from, capacity - to));
        memcpy(data + to, ring->data + from, n);
        seq += n;
    }
    free(ring->data);
    ring->data = data;
    ring->capacity = capacity;
    return true;
}

static bool grow_segments(struct ring *ring) {
    size_t capacity = ring->segments_capacity == 0 ? SEGMENTS_FIRST : ring->segments_capacity * 4;
    if (capacity > SEGMENTS_MAX)
        return false;
    struct segment *segments = malloc(capacity * sizeof *segments);
    if (!segments)
        return false;
    for (size_t i = 0; i < ring->segments_count; i++)
        segments[i] = *segment_at(ring, i);
    free(ring->segments);
    ring->segments = segments;
    ring->segments_capacity = capacity;
    ring->segments_first = 0;
    return true;
}

static void drop_first_segment(struct ring *ring) {
    if (ring->begin < segment_at(ring, 0)->end)
        ring->begin = segment_at(ring, 0)->end;
    ring->segments_first = (ring->segments_first + 1) & (ring->segments_capacity - 1);
    ring->segments_count--;
}

static bool segment_is_free(struct ring *ring, uint64_t floor) {
    if (ring->segments_count < ring->segments_capacity || grow_segments(ring))
        return true;
    if (ring->segments_capacity == 0 || segment_at(ring, 0)->end > floor)
        return false;
    drop_first_segment(ring);
    return true;
}

unsigned char *ring_space(struct ring *ring, uint64_t floor, size_t *size) {
    if (ring->end - ring->begin == ring->capacity)
        grow_data(ring);
    if (ring->capacity == 0 || !segment_is_free(ring, floor))
        return NULL;
    size_t unused = ring->capacity - (size_t)(ring->end - ring->begin);
    uint64_t guarded = floor < ring->begin ? ring->begin : floor;
    size_t room = unused > 0 ? unused : ring->capacity - (size_t)(ring->end - guarded);
    *size = smaller(room, ring->capacity - position(ring, ring->end));
    return *size > 0 ? ring->data + position(ring, ring->end) : NULL;
}

void ring_commit(struct ring *ring, int stream, size_t n) {
    ring->end += n;
    struct segment *last = ring->segments_count ? segment_at(ring, ring->segments_count - 1) : NULL;
    if (last && last->stream == stream) {
        last->end = ring->end;
    } else {
        *segment_at(ring, ring->segments_count) = (struct segment){ring->end, stream};
        ring->segments_count++;
    }
    if (ring->end - ring->begin > ring->capacity)
        ring->begin = ring->end - ring->capacity;
    while (ring->segments_count > 1 && segment_at(ring, 0)->end <= ring->begin)
        drop_first_segment(ring);
}

const unsigned char *ring_peek(const struct ring *ring, uint64_t seq, int *stream, size_t *size) {
    size_t low = 0, high = ring->segments_count - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (segment_at(ring, middle)->end > seq)
            high = middle;
        else
            low = middle + 1;
    }
    const struct segment *segment = segment_at(ring, low);
    *stream = segment->stream;
    *size = smaller((size_t)(segment->end - seq), ring->capacity - position(ring, seq));
    return ring->data + position(ring, seq);
}

void ring_free(struct ring *ring) {
    free(ring->data);
    free(ring->segments);
    *ring = (struct ring){0};
}
