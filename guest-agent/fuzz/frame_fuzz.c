// The frame decoder against arbitrary bytes: never outside the frame, and what was decoded can be encoded and decoded
// again to the same bytes.
#include <stdlib.h>
#include <string.h>

#include "codec.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static unsigned char first[FRAME_HEADER + FRAME_MAX];
static unsigned char second[FRAME_HEADER + FRAME_MAX];

static void decode_env(const StartExec *start) {
    StartExec_EnvEntry entry;
    for (const struct text_node *node = start->env.first; node; node = node->next)
        codec_decode_env_entry(&entry, node->text);
}

static void check_inside(struct text text, const unsigned char *data, size_t size) {
    if (text.size > 0 && (text.data < data || text.data + text.size > data + size))
        abort();
}

static void try_request(const unsigned char *data, size_t size) {
    Request request;
    if (codec_decode_request(&request, data, size) < 0)
        return;
    if (request.which_kind == Request_hello_tag)
        check_inside(request.kind.hello.token, data, size);
    if (request.which_kind == Request_start_exec_tag)
        decode_env(&request.kind.start_exec);
    ssize_t n = codec_encode_request(&request, first, sizeof first);
    if (n < 0)
        return;
    if (codec_decode_request(&request, first + FRAME_HEADER, (size_t)n - FRAME_HEADER) < 0)
        abort();
    if (codec_encode_request(&request, second, sizeof second) != n || memcmp(first, second, (size_t)n) != 0)
        abort();
}

static void try_reply(const unsigned char *data, size_t size) {
    Reply reply;
    if (codec_decode_reply(&reply, data, size) == 0)
        codec_encode_reply(&reply, first, sizeof first);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    size_t total;
    if (frame_peek(data, size, &total) != 1)
        return 0;
    try_request(data + FRAME_HEADER, total - FRAME_HEADER);
    try_reply(data + FRAME_HEADER, total - FRAME_HEADER);
    return 0;
}
