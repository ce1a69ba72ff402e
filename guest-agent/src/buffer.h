#ifndef SANDGLASS_BUFFER_H
#define SANDGLASS_BUFFER_H

#include <stddef.h>

// Bytes between a producer and a consumer: put in at the end, taken from the beginning.
struct buffer {
    unsigned char *data;
    size_t capacity;
    size_t start;
    size_t size;
};

// Room for at least n more bytes at the end. NULL: there is no memory.
unsigned char *buffer_reserve(struct buffer *buffer, size_t n);
// Room behind the bytes held, after buffer_reserve.
size_t buffer_room(const struct buffer *buffer);
void buffer_commit(struct buffer *buffer, size_t n);
const unsigned char *buffer_bytes(const struct buffer *buffer);
// An empty buffer that has grown large is given back.
void buffer_consume(struct buffer *buffer, size_t n);
void buffer_free(struct buffer *buffer);

#endif
