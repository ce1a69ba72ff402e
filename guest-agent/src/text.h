#ifndef SANDGLASS_TEXT_H
#define SANDGLASS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

// A string or bytes field of a message. Nothing is copied when a message is decoded: `data` points into the
// frame, is not NUL-terminated and may hold any bytes. Valid as long as the frame's buffer is left alone.
struct text {
    const unsigned char *data;
    size_t size;
};

// A repeated field of strings or messages, each element as its encoded bytes. The nodes come from one static
// pool that the next decoding starts anew, which is what bounds them.
struct text_node {
    struct text text;
    struct text_node *next;
};

struct texts {
    struct text_node *first;
    struct text_node *last;
    size_t count;
};

enum { TEXT_NODES_MAX = 8192 };

void texts_pool_reset(void);
bool texts_append(struct texts *list, struct text text);

struct text text_of(const char *string);
bool text_has_nul(struct text text);
bool text_equals(struct text text, const char *string);

// Copies with a terminating NUL; -ENAMETOOLONG when it does not fit, -EINVAL when there is a NUL inside.
int text_copy(struct text text, char *to, size_t capacity);

// A copy of any bytes as valid UTF-8, since protobuf strings must be: bytes that are not UTF-8 become \xNN.
// Cut to what fits. Returns the length, without the NUL.
size_t text_printable(struct text text, char *to, size_t capacity);

#endif
