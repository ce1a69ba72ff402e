// What can be tested without an agent: texts, frames, the output ring, arguments, paths, hosts, and the golden frames.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"
#include "check.h"
#include "hostname.h"
#include "path.h"
#include "ring.h"
#include "sockets.h"

static const char *golden_directory;

// ---- Texts

static void printable_is(const char *bytes, size_t size, const char *expected) {
    char shown[64];
    text_printable((struct text){(const unsigned char *)bytes, size}, shown, sizeof shown);
    if (strcmp(shown, expected) != 0)
        fprintf(stderr, "%s instead of %s\n", shown, expected);
    CHECK(strcmp(shown, expected) == 0);
}

static void odd_bytes_are_escaped(void) {
    printable_is("plain", 5, "plain");
    printable_is("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    printable_is("a\xff", 2, "a\\xff");
    printable_is("\xc3", 1, "\\xc3");
    printable_is("\xc0\x80", 2, "\\xc0\\x80");
    printable_is("\xed\xa0\x80", 3, "\\xed\\xa0\\x80");
    printable_is("\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80");
    printable_is("a\0b", 3, "a\\x00b");
}

static void a_long_text_is_cut_at_a_character(void) {
    char shown[4];
    CHECK_EQUAL(text_printable(text_of("ab\xc3\xa9"), shown, sizeof shown), 2);
    CHECK(strcmp(shown, "ab") == 0);
}

static void copies_refuse_what_does_not_fit(void) {
    char copy[4];
    CHECK_EQUAL(text_copy(text_of("abc"), copy, sizeof copy), 0);
    CHECK_EQUAL(text_copy(text_of("abcd"), copy, sizeof copy), -ENAMETOOLONG);
    CHECK_EQUAL(text_copy((struct text){(const unsigned char *)"a\0b", 3}, copy, sizeof copy), -EINVAL);
}

// ---- Frames

static void frames_are_recognised_piece_by_piece(void) {
    static const unsigned char frame[] = {0, 0, 0, 2, 0x12, 0};
    size_t total;
    for (size_t size = 0; size < 4; size++) {
        CHECK_EQUAL(frame_peek(frame, size, &total), 0);
        CHECK_EQUAL(total, 4);
    }
    CHECK_EQUAL(frame_peek(frame, 5, &total), 0);
    CHECK_EQUAL(total, 6);
    CHECK_EQUAL(frame_peek(frame, 6, &total), 1);
}

static void frames_of_a_wrong_length_are_refused(void) {
    size_t total;
    CHECK_EQUAL(frame_peek((const unsigned char[]){0, 0, 0, 0}, 4, &total), -EMSGSIZE);
    CHECK_EQUAL(frame_peek((const unsigned char[]){0, 2, 0, 0}, 4, &total), 0);
    CHECK_EQUAL(frame_peek((const unsigned char[]){0, 2, 0, 1}, 4, &total), -EMSGSIZE);
    CHECK_EQUAL(frame_peek((const unsigned char[]){0xff, 0xff, 0xff, 0xff}, 4, &total), -EMSGSIZE);
}

static void too_many_elements_are_refused(void) {
    static unsigned char message[3 * (TEXT_NODES_MAX + 1) + 8];
    // start_exec { argv: "" … }
    size_t size = 2 * (TEXT_NODES_MAX + 1);
    size_t at = 0;
    message[at++] = 0x32;
    message[at++] = (unsigned char)(0x80 | (size & 0x7f));
    message[at++] = (unsigned char)(0x80 | (size >> 7 & 0x7f));
    message[at++] = (unsigned char)(size >> 14);
    for (size_t i = 0; i <= TEXT_NODES_MAX; i++) {
        message[at++] = 0x12;
        message[at++] = 0;
    }
    Request request;
    CHECK_EQUAL(codec_decode_request(&request, message, at), -EBADMSG);
}

// Found by the fuzzer: hello { token: 24 as a varint }.
static void a_field_of_a_wrong_wire_type_is_refused(void) {
    Request request;
    CHECK_EQUAL(codec_decode_request(&request, (const unsigned char[]){0x0a, 2, 0x18, 0x18}, 4), -EBADMSG);
}

static size_t read_hex(const char *path, unsigned char *to, size_t capacity) {
    FILE *file = fopen(path, "re");
    CHECK(file != NULL);
    size_t size = 0;
    for (unsigned byte; size < capacity && fscanf(file, "%2x", &byte) == 1;)
        to[size++] = (unsigned char)byte;
    fclose(file);
    return size;
}

static void round_trip(const char *name, const unsigned char *frame, size_t size) {
    static unsigned char again[FRAME_HEADER + FRAME_MAX];
    size_t total;
    CHECK_EQUAL(frame_peek(frame, size, &total), 1);
    CHECK_EQUAL(total, size);
    ssize_t encoded;
    if (strncmp(name, "request-", 8) == 0) {
        Request request;
        CHECK_EQUAL(codec_decode_request(&request, frame + FRAME_HEADER, size - FRAME_HEADER), 0);
        CHECK(request.which_kind != 0);
        encoded = codec_encode_request(&request, again, sizeof again);
    } else {
        Reply reply;
        CHECK_EQUAL(codec_decode_reply(&reply, frame + FRAME_HEADER, size - FRAME_HEADER), 0);
        CHECK(reply.which_kind != 0);
        encoded = codec_encode_reply(&reply, again, sizeof again);
    }
    if (encoded != (ssize_t)size || memcmp(again, frame, size) != 0)
        fprintf(stderr, "%s comes back differently\n", name);
    CHECK_EQUAL(encoded, size);
    CHECK(memcmp(again, frame, size) == 0);
}

static void golden_frames_come_back_byte_by_byte(void) {
    static unsigned char frame[FRAME_HEADER + FRAME_MAX];
    DIR *directory = opendir(golden_directory);
    CHECK(directory != NULL);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        char path[1024];
        if (!strstr(entry->d_name, ".hex"))
            continue;
        snprintf(path, sizeof path, "%s/%s", golden_directory, entry->d_name);
        round_trip(entry->d_name, frame, read_hex(path, frame, sizeof frame));
        count++;
    }
    closedir(directory);
    CHECK(count > 30);
}

static void golden_start_exec_says_what_it_should(void) {
    static unsigned char frame[1024];
    char path[1024];
    Request request;
    snprintf(path, sizeof path, "%s/request-start_exec.hex", golden_directory);
    size_t size = read_hex(path, frame, sizeof frame);
    CHECK_EQUAL(codec_decode_request(&request, frame + FRAME_HEADER, size - FRAME_HEADER), 0);
    const StartExec *start = &request.kind.start_exec;
    CHECK_EQUAL(request.which_kind, Request_start_exec_tag);
    CHECK_EQUAL(start->argv.count, 4);
    CHECK(text_equals(start->argv.first->text, "sh"));
    CHECK(text_equals(start->argv.last->text, "echo \xc3\xa9"));
    CHECK_EQUAL(start->env.count, 1);
    CHECK(text_equals(start->cwd, "/tmp") && text_equals(start->user, "nobody"));
    CHECK(start->has_pty && start->pty.cols == 80 && start->pty.rows == 24);
    CHECK(start->timeout_ms == 30000 && start->stdin_open);
}

static void the_head_of_data_is_that_of_a_whole_reply(void) {
    static unsigned char bytes[65536], frame[FRAME_HEADER + FRAME_MAX], head[DATA_HEAD_MAX];
    size_t sizes[] = {1, 100, 124, 125, 126, 127, 128, 16000, 16379, 16380, 16384, sizeof bytes};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        Reply reply = {.which_kind = Reply_data_tag};
        reply.kind.data = (Data){.data = {bytes, sizes[i]}};
        ssize_t whole = codec_encode_reply(&reply, frame, sizeof frame);
        size_t n = codec_encode_data_head(sizes[i], head);
        CHECK_EQUAL(n + sizes[i], whole);
        CHECK(memcmp(head, frame, n) == 0);
    }
}

// ---- The ring

static void put(struct ring *ring, uint64_t floor, int stream, const char *bytes, size_t size) {
    while (size > 0) {
        size_t room;
        unsigned char *space = ring_space(ring, floor, &room);
        CHECK(space != NULL);
        size_t n = size < room ? size : room;
        memcpy(space, bytes, n);
        ring_commit(ring, stream, n);
        bytes += n;
        size -= n;
    }
}

static unsigned char byte_at(uint64_t seq) {
    return (unsigned char)(seq * 31 + (seq >> 11));
}

static void put_counted(struct ring *ring, uint64_t floor, int stream, size_t size) {
    for (size_t i = 0; i < size; i++) {
        char byte = (char)byte_at(ring->end);
        put(ring, floor, stream, &byte, 1);
    }
}

static void check_content(const struct ring *ring) {
    for (uint64_t seq = ring->begin; seq < ring->end;) {
        int stream;
        size_t size;
        const unsigned char *bytes = ring_peek(ring, seq, &stream, &size);
        CHECK(size > 0);
        for (size_t i = 0; i < size; i++)
            CHECK_EQUAL(bytes[i], byte_at(seq + i));
        seq += size;
    }
}

static void a_ring_keeps_what_was_written_while_it_grows(void) {
    struct ring ring = {0};
    for (size_t size = 1; ring.end < 200000; size = size * 3 + 1) {
        put_counted(&ring, 0, 1, size % 5000);
        check_content(&ring);
        CHECK_EQUAL(ring.begin, 0);
    }
    ring_free(&ring);
}

static void a_ring_without_a_reader_keeps_the_last_mebibyte(void) {
    struct ring ring = {0};
    for (int i = 0; i < 300; i++) {
        size_t size;
        for (size_t left = 10007; left > 0; left -= size) {
            unsigned char *space = ring_space(&ring, ring.end, &size);
            CHECK(space != NULL);
            if (size > left)
                size = left;
            for (size_t k = 0; k < size; k++)
                space[k] = byte_at(ring.end + k);
            ring_commit(&ring, 1 + i % 2, size);
        }
    }
    CHECK_EQUAL(ring.end, 300 * 10007);
    CHECK_EQUAL(ring.end - ring.begin, RING_MAX);
    check_content(&ring);
    ring_free(&ring);
}

static void a_ring_with_a_reader_is_full_at_a_mebibyte(void) {
    struct ring ring = {0};
    size_t size;
    while (ring_space(&ring, 0, &size))
        ring_commit(&ring, 1, size);
    CHECK_EQUAL(ring.end, RING_MAX);
    CHECK(ring_space(&ring, 1000, &size) != NULL);
    CHECK_EQUAL(size, 1000);
    ring_free(&ring);
}

static void streams_stay_apart_in_a_ring(void) {
    struct ring ring = {0};
    put(&ring, 0, 1, "out", 3);
    put(&ring, 0, 2, "err", 3);
    put(&ring, 0, 2, "or", 2);
    put(&ring, 0, 1, "put", 3);
    int stream;
    size_t size;
    CHECK(memcmp(ring_peek(&ring, 1, &stream, &size), "ut", 2) == 0 && size == 2 && stream == 1);
    CHECK(memcmp(ring_peek(&ring, 3, &stream, &size), "error", 5) == 0 && size == 5 && stream == 2);
    CHECK(memcmp(ring_peek(&ring, 10, &stream, &size), "t", 1) == 0 && size == 1 && stream == 1);
    ring_free(&ring);
}

static void many_small_pieces_are_bounded_too(void) {
    struct ring ring = {0};
    for (int i = 0; i < 100000; i++)
        put_counted(&ring, ring.end, 1 + i % 2, 1);
    CHECK(ring.segments_capacity <= SEGMENTS_MAX);
    CHECK(ring.end - ring.begin <= SEGMENTS_MAX);
    check_content(&ring);
    ring_free(&ring);

    size_t size;
    int written = 0;
    for (; ring_space(&ring, 0, &size) && written < 100000; written++)
        ring_commit(&ring, 1 + written % 2, 1);
    CHECK_EQUAL(written, SEGMENTS_MAX);
    CHECK_EQUAL(ring.begin, 0);
    ring_free(&ring);
}

// ---- Paths

static char workplace[256];

static const char *in_workplace(const char *name) {
    static char path[8][PATH_BYTES_MAX];
    static int next;
    char *result = path[next++ % 8];
    snprintf(result, PATH_BYTES_MAX, "%s/%s", workplace, name);
    return result;
}

static void paths_are_checked(void) {
    char path[PATH_BYTES_MAX];
    char parent[PATH_BYTES_MAX];
    struct failure failure;
    CHECK(path_take(text_of("/"), path, &failure) && strcmp(path, "/") == 0);
    CHECK(path_take(text_of("/a/b//"), path, &failure) && strcmp(path, "/a/b") == 0);
    CHECK(!path_take(text_of(""), path, &failure) && !path_take(text_of("a"), path, &failure));
    CHECK(!path_take((struct text){(const unsigned char *)"/a\0b", 4}, path, &failure));
    CHECK(!path_take_entry(text_of("/"), path, &failure) && !path_take_entry(text_of("/a/.."), path, &failure));
    CHECK(!path_take_entry(text_of("/a/./"), path, &failure) && path_take_entry(text_of("/..a"), path, &failure));
    path_parent("/a", parent);
    CHECK(strcmp(parent, "/") == 0);
    path_parent("/a/b", parent);
    CHECK(strcmp(parent, "/a") == 0);
}

static void directories_are_made_with_their_parents(void) {
    struct stat status;
    CHECK_EQUAL(path_make_directories(in_workplace("a/b/c")), 0);
    CHECK_EQUAL(path_make_directories(in_workplace("a/b/c")), 0);
    CHECK(stat(in_workplace("a/b/c"), &status) == 0 && S_ISDIR(status.st_mode));
    close(open(in_workplace("file"), O_CREAT | O_WRONLY, 0644));
    CHECK_EQUAL(path_make_directories(in_workplace("file")), -ENOTDIR);
    CHECK_EQUAL(path_make_directories(in_workplace("file/x")), -ENOTDIR);
}

static void a_deep_tree_is_removed_and_links_are_not_followed(void) {
    CHECK_EQUAL(path_make_directories(in_workplace("kept")), 0);
    close(open(in_workplace("kept/file"), O_CREAT | O_WRONLY, 0644));
    int fd = open(workplace, O_RDONLY | O_DIRECTORY);
    for (int depth = 0; depth < 3000; depth++) {
        CHECK_EQUAL(mkdirat(fd, "d", 0755), 0);
        int below = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = below;
        close(openat(fd, "file", O_CREAT | O_WRONLY, 0644));
        CHECK_EQUAL(symlinkat(in_workplace("kept"), fd, "link"), 0);
    }
    close(fd);
    CHECK_EQUAL(path_remove_tree(in_workplace("d")), 0);
    CHECK_EQUAL(path_remove_tree(in_workplace("d")), -ENOENT);
    CHECK_EQUAL(access(in_workplace("kept/file"), F_OK), 0);
}

// ---- Arguments

static void arguments_are_laid_out_for_execve(void) {
    static const unsigned char entry[] = {0x0a, 4, 'P', 'A', 'T', 'H', 0x12, 2, '/', 'x'};
    StartExec start = {0};
    struct arguments arguments = {0};
    struct failure failure;
    struct user user = {.name = "somebody", .home = "/home/somebody", .shell = "/bin/sh"};
    texts_pool_reset();
    texts_append(&start.argv, text_of("program"));
    texts_append(&start.argv, text_of(""));
    texts_append(&start.env, (struct text){entry, sizeof entry});
    CHECK(arguments_make(&arguments, &start, &user, &failure));
    CHECK(strcmp(arguments.argv[0], "program") == 0 && strcmp(arguments.argv[1], "") == 0 && !arguments.argv[2]);
    CHECK(strcmp(arguments.path, "/x") == 0);
    CHECK(strcmp(arguments.envp[0], "HOME=/home/somebody") == 0);
    int count = 0;
    for (char **variable = arguments.envp; *variable; variable++)
        count += strncmp(*variable, "PATH=", 5) == 0;
    CHECK_EQUAL(count, 1);
    arguments_free(&arguments);
}

// ---- What a renewal changes

static void write_whole(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void hosts_become(const char *before, const char *name, const char *after) {
    char text[1024] = "";
    const char *path = in_workplace("hosts");
    write_whole(path, before);
    CHECK_EQUAL(hosts_name(path, name), 0);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    if (strcmp(text, after) != 0)
        fprintf(stderr, "%s", text);
    CHECK(strcmp(text, after) == 0);
}

#define PADDED(name, blanks) "127.0.1.1 " name blanks "\n"
#define BLANKS_62 "                                                              "
#define BLANKS_61 "                                                             "

static void the_line_of_the_host_name_is_replaced_and_no_other(void) {
    const char *longest = "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabc";
    CHECK_EQUAL(strlen(longest), HOSTNAME_MAX);
    hosts_become("", "a", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n" PADDED("a", BLANKS_62));
    hosts_become("x\n127.0.1.1 sandglass\ny\n", "a", "x\n" PADDED("a", BLANKS_62) "y\n");
    hosts_become("x\n" PADDED("a", BLANKS_62) "y", "bc", "x\n" PADDED("bc", BLANKS_61) "y");
    hosts_become("x\n" PADDED("bc", BLANKS_61), longest,
                 "x\n" PADDED("abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabc", ""));
    hosts_become("127.0.1.1 own.example own\n", "a", "127.0.1.1 own.example own\n" PADDED("a", BLANKS_62));
    hosts_become("no newline", "a", "no newline\n" PADDED("a", BLANKS_62));
}

static void hosts_that_are_no_such_file_are_left_alone(void) {
    const char *path = in_workplace("hosts-directory");
    CHECK_EQUAL(mkdir(path, 0755), 0);
    CHECK_EQUAL(hosts_name(path, "a"), -EISDIR);
    path = in_workplace("hosts-fifo");
    CHECK_EQUAL(mkfifo(path, 0644), 0);
    CHECK_EQUAL(hosts_name(path, "a"), -EINVAL);
    path = in_workplace("hosts-large");
    FILE *file = fopen(path, "w");
    CHECK(file && fseek(file, 1 << 20, SEEK_SET) == 0 && fputs("x", file) >= 0 && fclose(file) == 0);
    CHECK_EQUAL(hosts_name(path, "a"), -EINVAL);
}

struct socket_case {
    int family;
    const char *source;
    uint16_t source_port;
    const char *destination;
    bool doomed;
};

static void connections_out_of_the_guest_are_doomed(void) {
    static const struct socket_case cases[] = {
        {AF_INET, "169.254.0.21", 40000, "192.0.2.1", true},
        {AF_INET, "169.254.0.21", 80, "169.254.0.22", true},
        {AF_INET, "169.254.0.21", 49983, "169.254.0.22", false},
        {AF_INET, "127.0.0.1", 40000, "127.0.0.1", false},
        {AF_INET, "127.0.0.1", 40000, "127.9.9.9", false},
        {AF_INET, "169.254.0.21", 40000, "169.254.0.21", false},
        {AF_INET6, "::1", 40000, "::1", false},
        {AF_INET6, "::ffff:127.0.0.1", 80, "::ffff:127.0.0.1", false},
        {AF_INET6, "::ffff:169.254.0.21", 80, "::ffff:169.254.0.22", true},
        {AF_INET6, "::ffff:169.254.0.21", 80, "::ffff:169.254.0.21", false},
        {AF_INET6, "2001:db8::1", 49983, "2001:db8::2", true},
        {AF_INET6, "fe80::1", 80, "::2", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct inet_diag_msg socket = {.idiag_family = (uint8_t)cases[i].family};
        socket.id.idiag_sport = htons(cases[i].source_port);
        CHECK_EQUAL(inet_pton(cases[i].family, cases[i].source, socket.id.idiag_src), 1);
        CHECK_EQUAL(inet_pton(cases[i].family, cases[i].destination, socket.id.idiag_dst), 1);
        if (sockets_is_doomed(&socket, 49983) != cases[i].doomed)
            fprintf(stderr, "case %zu: %s -> %s\n", i, cases[i].source, cases[i].destination);
        CHECK(sockets_is_doomed(&socket, 49983) == cases[i].doomed);
    }
}

static const struct test tests[] = {
    {"odd bytes are escaped", odd_bytes_are_escaped},
    {"a long text is cut at a character", a_long_text_is_cut_at_a_character},
    {"copies refuse what does not fit", copies_refuse_what_does_not_fit},
    {"frames are recognised piece by piece", frames_are_recognised_piece_by_piece},
    {"frames of a wrong length are refused", frames_of_a_wrong_length_are_refused},
    {"too many elements are refused", too_many_elements_are_refused},
    {"a field of a wrong wire type is refused", a_field_of_a_wrong_wire_type_is_refused},
    {"golden frames come back byte by byte", golden_frames_come_back_byte_by_byte},
    {"the golden start_exec says what it should", golden_start_exec_says_what_it_should},
    {"the head of data is that of a whole reply", the_head_of_data_is_that_of_a_whole_reply},
    {"a ring keeps what was written while it grows", a_ring_keeps_what_was_written_while_it_grows},
    {"a ring without a reader keeps the last mebibyte", a_ring_without_a_reader_keeps_the_last_mebibyte},
    {"a ring with a reader is full at a mebibyte", a_ring_with_a_reader_is_full_at_a_mebibyte},
    {"streams stay apart in a ring", streams_stay_apart_in_a_ring},
    {"many small pieces are bounded too", many_small_pieces_are_bounded_too},
    {"paths are checked", paths_are_checked},
    {"directories are made with their parents", directories_are_made_with_their_parents},
    {"a deep tree is removed and links are not followed", a_deep_tree_is_removed_and_links_are_not_followed},
    {"arguments are laid out for execve", arguments_are_laid_out_for_execve},
    {"the line of the host name is replaced, and no other", the_line_of_the_host_name_is_replaced_and_no_other},
    {"hosts that are no such file are left alone", hosts_that_are_no_such_file_are_left_alone},
    {"connections out of the guest are doomed", connections_out_of_the_guest_are_doomed},
};

int main(int argc, char **argv) {
    CHECK(argc == 2);
    golden_directory = argv[1];
    snprintf(workplace, sizeof workplace, "%s/sandglass-unit-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    CHECK(mkdtemp(workplace) != NULL);
    RUN_TESTS(tests);
    CHECK_EQUAL(path_remove_tree(workplace), 0);
    return 0;
}
