#include "text.h"

#include <errno.h>
#include <string.h>

static struct text_node pool[TEXT_NODES_MAX];
static size_t pool_used;

void texts_pool_reset(void) {
    pool_used = 0;
}

bool texts_append(struct texts *list, struct text text) {
    if (pool_used == TEXT_NODES_MAX)
        return false;
    struct text_node *node = &pool[pool_used++];
    *node = (struct text_node){.text = text, .next = NULL};
    if (list->last)
        list->last->next = node;
    else
        list->first = node;
    list->last = node;
    list->count++;
    return true;
}

struct text text_of(const char *string) {
    return (struct text){(const unsigned char *)string, strlen(string)};
}

bool text_has_nul(struct text text) {
    return text.size > 0 && memchr(text.data, 0, text.size) != NULL;
}

bool text_equals(struct text text, const char *string) {
    return text.size == strlen(string) && (text.size == 0 || memcmp(text.data, string, text.size) == 0);
}

int text_copy(struct text text, char *to, size_t capacity) {
    if (text_has_nul(text))
        return -EINVAL;
    if (text.size >= capacity)
        return -ENAMETOOLONG;
    if (text.size > 0)
        memcpy(to, text.data, text.size);
    to[text.size] = 0;
    return 0;
}

// Length of the UTF-8 sequence at `at`, 0 when there is none (overlong forms, surrogates and truncation included).
static size_t utf8_length(const unsigned char *at, size_t left) {
    unsigned char first = at[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || left < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (first == 0xe0 && at[1] < 0xa0) || (first == 0xf0 && at[1] < 0x90);
    bool outside = (first == 0xed && at[1] > 0x9f) || (first == 0xf4 && at[1] > 0x8f);
    return overlong || outside ? 0 : length;
}

size_t text_printable(struct text text, char *to, size_t capacity) {
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;
    for (size_t i = 0; i < text.size;) {
        size_t length = text.data[i] == 0 ? 0 : utf8_length(text.data + i, text.size - i);
        size_t needed = length == 0 ? 4 : length;
        if (used + needed >= capacity)
            break;
        if (length == 0) {
            unsigned char byte = text.data[i++];
            memcpy(to + used, (char[]){'\\', 'x', digits[byte >> 4], digits[byte & 15]}, 4);
        } else {
            memcpy(to + used, text.data + i, length);
            i += length;
        }
        used += needed;
    }
    to[used] = 0;
    return used;
}
