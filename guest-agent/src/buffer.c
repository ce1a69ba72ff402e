#include "buffer.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER_FIRST = 4096, BUFFER_KEPT = 16384 };

static void compact(struct buffer *buffer) {
    if (buffer->start > 0 && buffer->size > 0)
        memmove(buffer->data, buffer->data + buffer->start, buffer->size);
    buffer->start = 0;
}

unsigned char *buffer_reserve(struct buffer *buffer, size_t n) {
    if (buffer_room(buffer) < n)
        compact(buffer);
    if (buffer_room(buffer) < n) {
        size_t capacity = buffer->capacity == 0 ? BUFFER_FIRST : buffer->capacity;
        while (capacity < buffer->size + n)
            capacity *= 2;
        unsigned char *data = realloc(buffer->data, capacity);
        if (!data)
            return NULL;
        buffer->data = data;
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->start + buffer->size;
}

size_t buffer_room(const struct buffer *buffer) {
    return buffer->capacity - buffer->start - buffer->size;
}

void buffer_commit(struct buffer *buffer, size_t n) {
    buffer->size += n;
}

const unsigned char *buffer_bytes(const struct buffer *buffer) {
    return buffer->data ? buffer->data + buffer->start : NULL;
}

void buffer_consume(struct buffer *buffer, size_t n) {
    buffer->start += n;
    buffer->size -= n;
    if (buffer->size > 0)
        return;
    buffer->start = 0;
    if (buffer->capacity > BUFFER_KEPT)
        buffer_free(buffer);
}

void buffer_free(struct buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer){0};
}
