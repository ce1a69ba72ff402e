#include "codec.h"

#include <errno.h>
#include <string.h>
#include <pb_decode.h>
#include <pb_encode.h>

// nanopb calls this for every string, bytes and repeated field (guest.options): once per element when it
// decodes, once per field when it encodes.
bool text_field(pb_istream_t *input, pb_ostream_t *output, const pb_field_iter_t *field);

static bool is_list(const pb_field_iter_t *field) {
    return PB_HTYPE(field->type) == PB_HTYPE_REPEATED;
}

// What is being decoded. nanopb hands over a field of a wrong wire type too, copied to its own stack: such a field is
// none of ours, and its bytes would be gone when the message is used.
static struct text decoding;

static bool is_inside(struct text text) {
    return text.data >= decoding.data && text.data + text.size <= decoding.data + decoding.size;
}

static bool decode_text(pb_istream_t *input, const pb_field_iter_t *field) {
    // The state of a stream over a buffer is its read position (pb_istream_from_buffer).
    struct text text = {input->state, input->bytes_left};
    if (!is_inside(text))
        return false;
    if (is_list(field)) {
        if (!texts_append(field->pData, text))
            return false;
    } else {
        *(struct text *)field->pData = text;
    }
    return pb_read(input, NULL, input->bytes_left);
}

static bool encode_one(pb_ostream_t *output, const pb_field_iter_t *field, struct text text) {
    return pb_encode_tag(output, PB_WT_STRING, field->tag) && pb_encode_string(output, text.data, text.size);
}

static bool encode_text(pb_ostream_t *output, const pb_field_iter_t *field) {
    if (!is_list(field)) {
        const struct text *text = field->pData;
        return text->size == 0 || encode_one(output, field, *text);
    }
    const struct texts *list = field->pData;
    for (const struct text_node *node = list->first; node; node = node->next)
        if (!encode_one(output, field, node->text))
            return false;
    return true;
}

bool text_field(pb_istream_t *input, pb_ostream_t *output, const pb_field_iter_t *field) {
    return input ? decode_text(input, field) : encode_text(output, field);
}

void frame_put_length(unsigned char *header, size_t length) {
    header[0] = (unsigned char)(length >> 24);
    header[1] = (unsigned char)(length >> 16);
    header[2] = (unsigned char)(length >> 8);
    header[3] = (unsigned char)length;
}

size_t frame_length(const unsigned char *header) {
    return (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3];
}

int frame_peek(const unsigned char *data, size_t size, size_t *total) {
    *total = FRAME_HEADER;
    if (size < FRAME_HEADER)
        return 0;
    size_t length = frame_length(data);
    if (length == 0 || length > FRAME_MAX)
        return -EMSGSIZE;
    *total = FRAME_HEADER + length;
    return size >= *total;
}

static int decode(const pb_msgdesc_t *fields, void *message, const unsigned char *data, size_t size) {
    pb_istream_t input = pb_istream_from_buffer(data, size);
    decoding = (struct text){data, size};
    return pb_decode(&input, fields, message) ? 0 : -EBADMSG;
}

int codec_decode_request(Request *request, const unsigned char *data, size_t size) {
    *request = (Request){0};
    texts_pool_reset();
    return decode(Request_fields, request, data, size);
}

int codec_decode_reply(Reply *reply, const unsigned char *data, size_t size) {
    *reply = (Reply){0};
    texts_pool_reset();
    return decode(Reply_fields, reply, data, size);
}

int codec_decode_env_entry(StartExec_EnvEntry *entry, struct text encoded) {
    *entry = (StartExec_EnvEntry){0};
    return decode(StartExec_EnvEntry_fields, entry, encoded.data, encoded.size);
}

static ssize_t encode(const pb_msgdesc_t *fields, const void *message, unsigned char *to, size_t capacity) {
    pb_ostream_t output = pb_ostream_from_buffer(to, capacity);
    return pb_encode(&output, fields, message) ? (ssize_t)output.bytes_written : -EMSGSIZE;
}

static ssize_t encode_frame(const pb_msgdesc_t *fields, const void *message, unsigned char *to, size_t capacity) {
    if (capacity < FRAME_HEADER)
        return -EMSGSIZE;
    size_t room = capacity - FRAME_HEADER < FRAME_MAX ? capacity - FRAME_HEADER : FRAME_MAX;
    ssize_t length = encode(fields, message, to + FRAME_HEADER, room);
    if (length < 0)
        return length;
    frame_put_length(to, (size_t)length);
    return length + FRAME_HEADER;
}

ssize_t codec_encode_request(const Request *request, unsigned char *to, size_t capacity) {
    return encode_frame(Request_fields, request, to, capacity);
}

ssize_t codec_encode_reply(const Reply *reply, unsigned char *to, size_t capacity) {
    return encode_frame(Reply_fields, reply, to, capacity);
}

static size_t put_field_head(unsigned char *to, unsigned tag, size_t length) {
    size_t at = 0;
    to[at++] = (unsigned char)(tag << 3 | PB_WT_STRING);
    for (; length >= 0x80; length >>= 7)
        to[at++] = (unsigned char)(length | 0x80);
    to[at++] = (unsigned char)length;
    return at;
}

// Reply{data{data: n bytes}}: two fields, one around the other.
size_t codec_encode_data_head(size_t n, unsigned char to[DATA_HEAD_MAX]) {
    unsigned char inner[DATA_HEAD_MAX];
    size_t inner_size = put_field_head(inner, Data_data_tag, n);
    size_t outer_size = put_field_head(to + FRAME_HEADER, Reply_data_tag, inner_size + n);
    memcpy(to + FRAME_HEADER + outer_size, inner, inner_size);
    frame_put_length(to, outer_size + inner_size + n);
    return FRAME_HEADER + outer_size + inner_size;
}

ssize_t codec_encode_exec_info(const ExecInfo *info, unsigned char *to, size_t capacity) {
    return encode(ExecInfo_fields, info, to, capacity);
}

ssize_t codec_encode_file_info(const FileInfo *info, unsigned char *to, size_t capacity) {
    return encode(FileInfo_fields, info, to, capacity);
}
