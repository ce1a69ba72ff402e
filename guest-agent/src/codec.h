#ifndef SANDGLASS_CODEC_H
#define SANDGLASS_CODEC_H

#include <stdint.h>
#include <sys/types.h>

#include "sandglass/guest/v1/guest.pb.h"
#include "text.h"

// Frames of guest.proto: u32 big-endian length, then a Request or a Reply.
enum {
    FRAME_HEADER = 4,
    FRAME_MAX = 131072,  // of the message, without the header
};

// Looks at the beginning of what was received. 1: a whole frame of *total bytes, header included, is there.
// 0: more is needed, *total is the size of the whole frame, or FRAME_HEADER while that is not known.
// -EMSGSIZE: a length the protocol does not allow.
int frame_peek(const unsigned char *data, size_t size, size_t *total);

void frame_put_length(unsigned char *header, size_t length);
size_t frame_length(const unsigned char *header);

// Decode one message (without the frame's header): 0 or -EBADMSG. The result points into `data`.
int codec_decode_request(Request *request, const unsigned char *data, size_t size);
int codec_decode_reply(Reply *reply, const unsigned char *data, size_t size);
int codec_decode_env_entry(StartExec_EnvEntry *entry, struct text encoded);

// Encode one whole frame, header included: its size, or -EMSGSIZE when it does not fit.
ssize_t codec_encode_request(const Request *request, unsigned char *to, size_t capacity);
ssize_t codec_encode_reply(const Reply *reply, unsigned char *to, size_t capacity);

// The beginning of a frame with Reply.data, not the last one, up to where its n bytes have to follow: its size.
enum { DATA_HEAD_MAX = 16 };
size_t codec_encode_data_head(size_t n, unsigned char to[DATA_HEAD_MAX]);

// Encode a message by itself, as an element of a repeated field.
ssize_t codec_encode_exec_info(const ExecInfo *info, unsigned char *to, size_t capacity);
ssize_t codec_encode_file_info(const FileInfo *info, unsigned char *to, size_t capacity);

#endif
