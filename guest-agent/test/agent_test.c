// The agent as a whole, as an ordinary process under sanitizers: what it answers to good and to bad requests.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "codec.h"
#include "connection.h"
#include "log.h"
#include "path.h"
#include "session.h"
#include "version.h"

#undef stdin

enum { REPLY_MILLIS = 20000 };

static char workplace[128];
static uint16_t port;
static pid_t agent;
static int agent_input;

// ---- A client

struct client {
    int fd;
    unsigned char frame[FRAME_HEADER + FRAME_MAX];
};

static struct client *client_connect(void) {
    struct client *client = malloc(sizeof *client);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQUAL(connect(client->fd, (struct sockaddr *)&address, sizeof address), 0);
    int one = 1;
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct timeval patience = {.tv_sec = REPLY_MILLIS / 1000};
    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return client;
}

static void client_close(struct client *client) {
    close(client->fd);
    free(client);
}

static void send_bytes(struct client *client, const void *bytes, size_t size) {
    CHECK_EQUAL(send(client->fd, bytes, size, MSG_NOSIGNAL), size);
}

static void send_request(struct client *client, const Request *request) {
    static unsigned char frame[FRAME_HEADER + FRAME_MAX];
    ssize_t n = codec_encode_request(request, frame, sizeof frame);
    CHECK(n > 0);
    send_bytes(client, frame, (size_t)n);
}

// The next reply, or kind 0 when the agent has ended the connection.
static Reply receive(struct client *client) {
    Reply reply = {0};
    ssize_t n = recv(client->fd, client->frame, FRAME_HEADER, MSG_WAITALL);
    CHECK(n >= 0 || errno == ECONNRESET);
    if (n <= 0)
        return reply;
    CHECK_EQUAL(n, FRAME_HEADER);
    size_t length = frame_length(client->frame);
    CHECK(length > 0 && length <= FRAME_MAX);
    CHECK_EQUAL(recv(client->fd, client->frame + FRAME_HEADER, length, MSG_WAITALL), length);
    CHECK_EQUAL(codec_decode_reply(&reply, client->frame + FRAME_HEADER, length), 0);
    return reply;
}

static Reply call(struct client *client, const Request *request) {
    send_request(client, request);
    return receive(client);
}

static bool is_silent(struct client *client, int millis) {
    struct pollfd one = {.fd = client->fd, .events = POLLIN};
    return poll(&one, 1, millis) == 0;
}

static void expect_done(struct client *client) {
    Reply reply = receive(client);
    if (reply.which_kind == Reply_failure_tag)
        fprintf(stderr, "failure: %.*s\n", (int)reply.kind.failure.message.size, reply.kind.failure.message.data);
    CHECK_EQUAL(reply.which_kind, Reply_done_tag);
}

static void expect_failure(struct client *client, Failure_Code code) {
    Reply reply = receive(client);
    CHECK_EQUAL(reply.which_kind, Reply_failure_tag);
    CHECK_EQUAL(reply.kind.failure.code, code);
    CHECK(reply.kind.failure.message.size > 0);
}

static void expect_end(struct client *client) {
    CHECK_EQUAL(receive(client).which_kind, 0);
}

static const unsigned char zero_token[32];

static Request hello_with(uint32_t min, uint32_t max, const unsigned char *token, size_t size) {
    Request request = {.which_kind = Request_hello_tag};
    request.kind.hello = (Hello){.protocol_min = min, .protocol_max = max, .token = {token, size}};
    return request;
}

static struct client *client_open(void) {
    struct client *client = client_connect();
    Request hello = hello_with(1, 1, zero_token, sizeof zero_token);
    CHECK_EQUAL(call(client, &hello).which_kind, Reply_welcome_tag);
    return client;
}

static const Request ping = {.which_kind = Request_ping_tag};

static void expect_usable(struct client *client) {
    send_request(client, &ping);
    expect_done(client);
}

// ---- Commands

static const char *new_exec_id(void) {
    static char id[32];
    static int number;
    snprintf(id, sizeof id, "ex-%d", ++number);
    return id;
}

static Request start_of(const char *script) {
    Request request = {.which_kind = Request_start_exec_tag};
    texts_pool_reset();
    request.kind.start_exec.exec_id = text_of(new_exec_id());
    texts_append(&request.kind.start_exec.argv, text_of("/bin/sh"));
    texts_append(&request.kind.start_exec.argv, text_of("-c"));
    texts_append(&request.kind.start_exec.argv, text_of(script));
    return request;
}

struct outcome {
    char output[4096];
    size_t size;
    uint64_t bytes;
    ExecExited exited;
};

static void collect(struct client *client, struct outcome *outcome) {
    memset(outcome, 0, sizeof *outcome);
    for (;;) {
        Reply reply = receive(client);
        if (reply.which_kind == Reply_exec_exited_tag) {
            outcome->exited = reply.kind.exec_exited;
            return;
        }
        if (reply.which_kind == Reply_stdin_written_tag)
            continue;
        CHECK_EQUAL(reply.which_kind, Reply_output_tag);
        struct text data = reply.kind.output.data;
        outcome->bytes += data.size;
        size_t room = sizeof outcome->output - 1 - outcome->size;
        size_t n = data.size < room ? data.size : room;
        memcpy(outcome->output + outcome->size, data.data, n);
        outcome->size += n;
        Request acknowledge = {.which_kind = Request_acknowledge_tag};
        acknowledge.kind.acknowledge.seq = reply.kind.output.seq;
        send_request(client, &acknowledge);
    }
}

static void run(struct client *client, const char *script, struct outcome *outcome) {
    Request request = start_of(script);
    CHECK_EQUAL(call(client, &request).which_kind, Reply_exec_started_tag);
    collect(client, outcome);
}

static Request plain(pb_size_t kind) {
    return (Request){.which_kind = kind};
}

// ---- Hello and framing

static void a_connection_begins_with_a_fitting_hello(void) {
    static const unsigned char wrong[32] = {1};
    const struct {
        Request request;
        Failure_Code code;
    } table[] = {
        {hello_with(1, 1, wrong, 32), Failure_Code_UNAUTHENTICATED},
        {hello_with(1, 1, zero_token, 31), Failure_Code_UNAUTHENTICATED},
        {hello_with(1, 1, NULL, 0), Failure_Code_UNAUTHENTICATED},
        {hello_with(PROTOCOL_MAX + 1, 9, zero_token, 32), Failure_Code_UNSUPPORTED},
        {hello_with(0, 0, zero_token, 32), Failure_Code_UNSUPPORTED},
        {hello_with(2, 1, zero_token, 32), Failure_Code_UNSUPPORTED},
        {ping, Failure_Code_BAD_REQUEST},
        {plain(Request_power_off_tag), Failure_Code_BAD_REQUEST},
        {plain(Request_data_tag), Failure_Code_BAD_REQUEST},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct client *client = client_connect();
        send_request(client, &table[i].request);
        expect_failure(client, table[i].code);
        expect_end(client);
        client_close(client);
    }
    struct client *client = client_connect();
    Request wide = hello_with(0, 7, zero_token, 32);
    Reply reply = call(client, &wide);
    CHECK_EQUAL(reply.which_kind, Reply_welcome_tag);
    CHECK_EQUAL(reply.kind.welcome.protocol, PROTOCOL_MAX);
    client_close(client);
}

static void bad_frames_end_their_connection_only(void) {
    static const struct {
        unsigned char bytes[8];
        size_t size;
    } table[] = {
        {{0, 0, 0, 0}, 4},
        {{0, 2, 0, 1}, 4},
        {{0xff, 0xff, 0xff, 0xff}, 4},
        {{0, 0, 0, 2, 0xff, 0xff}, 6},
        {{0, 0, 0, 3, 0x0a, 5, 1}, 7},
        {{0, 0, 0, 1, 7}, 5},
    };
    struct client *witness = client_open();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct client *client = client_open();
        send_bytes(client, table[i].bytes, table[i].size);
        expect_failure(client, Failure_Code_BAD_REQUEST);
        expect_end(client);
        client_close(client);
        expect_usable(witness);
    }
    client_close(witness);
}

static void a_truncated_frame_does_no_harm(void) {
    struct client *client = client_open();
    send_bytes(client, (const unsigned char[]){0, 0, 1, 0, 0x12}, 5);
    client_close(client);
    client = client_open();
    expect_usable(client);
    client_close(client);
}

static void a_frame_may_come_byte_by_byte_and_many_at_once(void) {
    struct client *client = client_open();
    unsigned char frame[64];
    ssize_t size = codec_encode_request(&ping, frame, sizeof frame);
    for (ssize_t i = 0; i < size; i++) {
        send_bytes(client, frame + i, 1);
        usleep(1000);
    }
    expect_done(client);
    for (int i = 0; i < 100; i++)
        send_request(client, &ping);
    for (int i = 0; i < 100; i++)
        expect_done(client);
    client_close(client);
}

static void a_request_from_the_future_is_refused_and_nothing_else(void) {
    struct client *client = client_open();
    send_bytes(client, (const unsigned char[]){0, 0, 0, 4, 0xc2, 0x3e, 1, 0}, 8);
    expect_failure(client, Failure_Code_UNSUPPORTED);
    expect_usable(client);
    client_close(client);
}

static void requests_out_of_order_end_the_connection(void) {
    static const pb_size_t idle[] = {Request_hello_tag, Request_data_tag};
    static const pb_size_t reading[] = {Request_ping_tag, Request_hello_tag, Request_data_tag, Request_start_exec_tag,
                                        Request_write_file_tag, Request_renew_tag, Request_list_execs_tag};
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
        struct client *client = client_open();
        Request request = plain(idle[i]);
        send_request(client, &request);
        expect_failure(client, Failure_Code_BAD_REQUEST);
        expect_end(client);
        client_close(client);
    }
    for (size_t i = 0; i < sizeof reading / sizeof reading[0]; i++) {
        struct client *client = client_open();
        Request request = start_of("sleep 3");
        CHECK_EQUAL(call(client, &request).which_kind, Reply_exec_started_tag);
        request = plain(reading[i]);
        send_request(client, &request);
        expect_failure(client, Failure_Code_BAD_REQUEST);
        expect_end(client);
        client_close(client);
    }
}

static void more_connections_than_there_may_be_are_turned_away(void) {
    struct client *clients[CONNECTIONS_MAX];
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        clients[i] = client_open();
    struct client *late = client_connect();
    expect_failure(late, Failure_Code_EXHAUSTED);
    expect_end(late);
    client_close(late);
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        expect_usable(clients[i]);
        client_close(clients[i]);
    }
    struct client *client = client_open();
    expect_usable(client);
    client_close(client);
}

static struct client *lazy;

static void a_silent_connection_is_opened(void) {
    lazy = client_connect();
    send_bytes(lazy, (const unsigned char[]){0, 0}, 2);
}

static void it_is_ended_after_five_seconds(void) {
    expect_failure(lazy, Failure_Code_BAD_REQUEST);
    expect_end(lazy);
    client_close(lazy);
}

// ---- Exec

static void bad_execs_are_refused_and_the_connection_goes_on(void) {
    struct client *client = client_open();
    for (int i = 0; i < 12; i++) {
        Request request = start_of("true");
        StartExec *start = &request.kind.start_exec;
        Failure_Code code = Failure_Code_BAD_REQUEST;
        switch (i) {
        case 0:
            start->exec_id = text_of("");
            break;
        case 1:
            start->exec_id = text_of("a/b");
            break;
        case 2:
            start->exec_id = text_of("a23456789012345678901234567890123456789012345678901234567890123456789");
            break;
        case 3:
            start->argv = (struct texts){0};
            break;
        case 4:
            start->argv.first->text = text_of("");
            break;
        case 5:
            start->argv.last->text = (struct text){(const unsigned char *)"a\0b", 3};
            break;
        case 6:
            start->cwd = text_of("relative");
            break;
        case 7:
            start->has_pty = true;
            break;
        case 8:
            start->has_pty = true;
            start->pty = (Pty){.cols = 70000, .rows = 1};
            break;
        case 9:
            start->user = text_of("no such user");
            code = Failure_Code_NOT_FOUND;
            break;
        case 10:
            start->user = text_of("4294967295");
            code = Failure_Code_NOT_FOUND;
            break;
        default:
            texts_append(&start->env, (struct text){(const unsigned char *)"\x0a\x03" "A=B", 5});
            break;
        }
        send_request(client, &request);
        expect_failure(client, code);
    }
    expect_usable(client);
    client_close(client);
}

static void bad_requests_while_reading_end_the_connection(void) {
    for (int i = 0; i < 5; i++) {
        struct client *client = client_open();
        Request request = start_of("sleep 3");
        CHECK_EQUAL(call(client, &request).which_kind, Reply_exec_started_tag);
        request = plain(0);
        switch (i) {
        case 0:
            request.which_kind = Request_acknowledge_tag;
            request.kind.acknowledge.seq = 1;
            break;
        case 1:
            request.which_kind = Request_resize_tag;
            break;
        case 2:
            request.which_kind = Request_signal_tag;
            break;
        case 3:
            request.which_kind = Request_signal_tag;
            request.kind.signal.number = 65;
            break;
        default:
            request.which_kind = Request_signal_tag;
            request.kind.signal.number = -9;
            break;
        }
        send_request(client, &request);
        expect_failure(client, Failure_Code_BAD_REQUEST);
        expect_end(client);
        client_close(client);
    }
}

static void a_command_runs_and_its_exit_is_told_once(void) {
    struct client *client = client_open();
    struct outcome outcome;
    run(client, "echo hello; exit 7", &outcome);
    CHECK(strcmp(outcome.output, "hello\n") == 0);
    CHECK_EQUAL(outcome.exited.exit_code, 7);
    CHECK_EQUAL(outcome.exited.last_seq, 6);
    CHECK(is_silent(client, 50));
    client_close(client);
}

static void a_child_has_only_its_own_descriptors(void) {
    struct client *client = client_open();
    struct outcome outcome;
    run(client, "ls /proc/self/fd | tr '\\n' ' '; grep SigBlk /proc/self/status | tr -d '\\n\\t'", &outcome);
    CHECK(strcmp(outcome.output, "0 1 2 3 SigBlk:0000000000000000") == 0);
    client_close(client);
}

static void orphans_are_reaped(void) {
    struct client *client = client_open();
    struct outcome outcome;
    run(client, "for i in 1 2 3 4 5; do (sleep 0.1 & ) ; done", &outcome);
    usleep(400000);
    char path[64], children[256] = {0};
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", agent, agent);
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    CHECK_EQUAL(read(fd, children, sizeof children), 0);
    close(fd);
    client_close(client);
}

static void unacknowledged_output_is_bounded(void) {
    struct client *client = client_open();
    Request request = start_of("head -c 3000000 /dev/zero");
    uint64_t seq = 0;
    CHECK_EQUAL(call(client, &request).which_kind, Reply_exec_started_tag);
    while (!is_silent(client, 300)) {
        Reply reply = receive(client);
        CHECK_EQUAL(reply.which_kind, Reply_output_tag);
        seq = reply.kind.output.seq;
    }
    CHECK_EQUAL(seq, RING_MAX);
    request = plain(Request_acknowledge_tag);
    request.kind.acknowledge.seq = seq;
    send_request(client, &request);
    struct outcome outcome;
    collect(client, &outcome);
    CHECK_EQUAL(outcome.exited.last_seq, 3000000);
    CHECK_EQUAL(outcome.bytes + seq, 3000000);
    client_close(client);
}

static void more_input_than_the_window_is_refused(void) {
    static const unsigned char chunk[32768];
    struct client *client = client_open();
    Request request = start_of("sleep 3");
    request.kind.start_exec.stdin_open = true;
    CHECK_EQUAL(call(client, &request).which_kind, Reply_exec_started_tag);
    request = plain(Request_stdin_tag);
    request.kind.stdin.data = (struct text){chunk, sizeof chunk};
    for (int sent = 0; sent < 12; sent++)
        send_request(client, &request);
    Reply reply = receive(client);
    while (reply.which_kind == Reply_stdin_written_tag)
        reply = receive(client);
    CHECK_EQUAL(reply.which_kind, Reply_failure_tag);
    expect_end(client);
    client_close(client);
}

static void what_crosses_the_exit_is_ignored(void) {
    struct client *client = client_open();
    struct outcome outcome;
    run(client, "true", &outcome);
    Request crossing[] = {plain(Request_stdin_tag), plain(Request_close_stdin_tag), plain(Request_resize_tag),
                          plain(Request_signal_tag), plain(Request_acknowledge_tag)};
    for (size_t i = 0; i < sizeof crossing / sizeof crossing[0]; i++)
        send_request(client, &crossing[i]);
    Request detach = plain(Request_detach_tag);
    send_request(client, &detach);
    expect_done(client);
    CHECK(is_silent(client, 50));
    client_close(client);
}

static void an_unlisted_command_is_forgotten_once_it_was_read(void) {
    struct client *client = client_open();
    char id[32];
    Request request = start_of("echo one");
    request.kind.start_exec.unlisted = true;
    strcpy(id, (const char *)request.kind.start_exec.exec_id.data);
    CHECK_EQUAL(call(client, &request).which_kind, Reply_exec_started_tag);
    struct outcome outcome;
    collect(client, &outcome);
    CHECK(strcmp(outcome.output, "one\n") == 0);
    request = plain(Request_attach_exec_tag);
    request.kind.attach_exec = (AttachExec){.exec_id = text_of(id)};
    Reply reply = call(client, &request);
    CHECK_EQUAL(reply.which_kind, Reply_failure_tag);
    CHECK_EQUAL(reply.kind.failure.code, Failure_Code_NOT_FOUND);
    client_close(client);
}

static void a_detached_command_goes_on_and_can_be_attached(void) {
    struct client *client = client_open();
    char id[32];
    Request request = start_of("echo one; sleep 0.3; echo two");
    strcpy(id, (const char *)request.kind.start_exec.exec_id.data);
    CHECK_EQUAL(call(client, &request).which_kind, Reply_exec_started_tag);
    Reply reply = receive(client);
    CHECK_EQUAL(reply.kind.output.seq, 4);
    request = plain(Request_detach_tag);
    send_request(client, &request);
    expect_done(client);
    expect_usable(client);
    request = plain(Request_attach_exec_tag);
    request.kind.attach_exec = (AttachExec){.exec_id = text_of(id), .after_seq = 2};
    CHECK_EQUAL(call(client, &request).which_kind, Reply_exec_started_tag);
    struct outcome outcome;
    collect(client, &outcome);
    CHECK(strcmp(outcome.output, "e\ntwo\n") == 0);
    request = plain(Request_attach_exec_tag);
    request.kind.attach_exec = (AttachExec){.exec_id = text_of(id), .after_seq = 9};
    send_request(client, &request);
    expect_failure(client, Failure_Code_BAD_REQUEST);
    client_close(client);
}

static void old_commands_are_forgotten(void) {
    struct client *client = client_open();
    char first[32];
    struct outcome outcome;
    Request request = start_of("true");
    strcpy(first, (const char *)request.kind.start_exec.exec_id.data);
    CHECK_EQUAL(call(client, &request).which_kind, Reply_exec_started_tag);
    collect(client, &outcome);
    for (int i = 0; i < 40; i++)
        run(client, "true", &outcome);
    request = plain(Request_attach_exec_tag);
    request.kind.attach_exec.exec_id = text_of(first);
    send_request(client, &request);
    expect_failure(client, Failure_Code_NOT_FOUND);
    request = plain(Request_list_execs_tag);
    Reply reply = call(client, &request);
    size_t count = reply.kind.execs.execs.count;
    CHECK(reply.kind.execs.last && count >= 32 && count <= 32 + 16);  // some of the tests before still sleep
    client_close(client);
}

static void a_terminal_that_is_hung_up_ends_in_order(void) {
    struct client *client = client_open();
    Request request = start_of("trap 'echo winch' WINCH; echo ready; read a; echo $a; read b; echo end");
    request.kind.start_exec.has_pty = true;
    request.kind.start_exec.pty = (Pty){.cols = 80, .rows = 24};
    CHECK_EQUAL(call(client, &request).which_kind, Reply_exec_started_tag);
    request = plain(Request_stdin_tag);
    request.kind.stdin.data = text_of("typed\n");
    send_request(client, &request);
    request = plain(Request_close_stdin_tag);
    send_request(client, &request);
    struct outcome outcome;
    collect(client, &outcome);
    CHECK(strstr(outcome.output, "typed\r\n") && strstr(outcome.output, "end\r\n"));
    client_close(client);
}

// ---- Files

static Request write_of(const char *path) {
    Request request = {.which_kind = Request_write_file_tag};
    request.kind.write_file.path = text_of(path);
    return request;
}

static Request data_of(const void *bytes, size_t size, bool last) {
    Request request = {.which_kind = Request_data_tag};
    request.kind.data = (Data){.data = {bytes, size}, .last = last};
    return request;
}

static const char *in_workplace(const char *name) {
    static char path[4][512];
    static int next;
    char *result = path[next++ % 4];
    snprintf(result, sizeof path[0], "%s/%s", workplace, name);
    return result;
}

static bool holds(const char *path, const char *text) {
    char content[256] = {0};
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, content, sizeof content - 1);
    close(fd);
    return n >= 0 && strcmp(content, text) == 0;
}

// Everything in one packet: what the worker did not need goes back to the agent.
static void operations_may_follow_each_other_without_waiting(void) {
    static unsigned char all[8192];
    struct client *client = client_open();
    char path[256];
    strcpy(path, in_workplace("new/file"));
    Request requests[] = {write_of(path), data_of("hel", 3, false), data_of("lo", 2, true), ping,
                          plain(Request_read_file_tag), ping};
    requests[4].kind.read_file.path = text_of(path);
    size_t used = 0;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        ssize_t n = codec_encode_request(&requests[i], all + used, sizeof all - used);
        CHECK(n > 0);
        used += (size_t)n;
    }
    send_bytes(client, all, used);
    expect_done(client);
    expect_done(client);
    Reply reply = receive(client);
    CHECK_EQUAL(reply.which_kind, Reply_file_info_tag);
    CHECK(text_equals(reply.kind.file_info.name, "file") && reply.kind.file_info.mode == 0644);
    reply = receive(client);
    CHECK(text_equals(reply.kind.data.data, "hello") && !reply.kind.data.last);
    reply = receive(client);
    CHECK(reply.kind.data.data.size == 0 && reply.kind.data.last);
    expect_done(client);
    client_close(client);
}

enum { LARGE_CHUNKS = 50 };

static void fill_chunk(unsigned char *chunk, int number) {
    for (int i = 0; i < DATA_MAX; i++)
        chunk[i] = (unsigned char)(number * 31 + i * 7 + i / 251);
}

static void a_large_file_goes_in_and_comes_back(void) {
    static unsigned char chunk[DATA_MAX];
    struct client *client = client_open();
    char path[256];
    strcpy(path, in_workplace("large"));
    Request request = write_of(path);
    send_request(client, &request);
    for (int i = 0; i < LARGE_CHUNKS; i++) {
        fill_chunk(chunk, i);
        request = data_of(chunk, sizeof chunk - (size_t)i, i == LARGE_CHUNKS - 1);
        send_request(client, &request);
    }
    send_request(client, &ping);  // is taken with the last of it
    expect_done(client);
    expect_done(client);
    request = plain(Request_read_file_tag);
    request.kind.read_file.path = text_of(path);
    request.kind.read_file.offset = DATA_MAX;
    CHECK_EQUAL(call(client, &request).which_kind, Reply_file_info_tag);
    int number = 1;
    size_t at = 0, total = 0;
    fill_chunk(chunk, number);
    for (Reply reply = receive(client); !reply.kind.data.last; reply = receive(client)) {
        CHECK_EQUAL(reply.which_kind, Reply_data_tag);
        total += reply.kind.data.data.size;
        for (size_t i = 0; i < reply.kind.data.data.size; i++) {
            CHECK_EQUAL(reply.kind.data.data.data[i], chunk[at]);
            if (++at == sizeof chunk - (size_t)number) {
                fill_chunk(chunk, ++number);
                at = 0;
            }
        }
    }
    CHECK_EQUAL(total, (LARGE_CHUNKS - 1) * DATA_MAX - LARGE_CHUNKS * (LARGE_CHUNKS - 1) / 2);
    expect_usable(client);
    CHECK_EQUAL(unlink(path), 0);
    client_close(client);
}

static void a_file_that_gets_shorter_while_it_is_read_is_a_failure(void) {
    struct client *client = client_open();
    char path[256];
    strcpy(path, in_workplace("shorter"));
    CHECK_EQUAL(close(creat(path, 0600)), 0);
    CHECK_EQUAL(truncate(path, 256 << 20), 0);
    Request request = plain(Request_read_file_tag);
    request.kind.read_file.path = text_of(path);
    CHECK_EQUAL(call(client, &request).which_kind, Reply_file_info_tag);
    CHECK_EQUAL(truncate(path, 1 << 20), 0);
    Reply reply = receive(client);
    for (; reply.which_kind == Reply_data_tag; reply = receive(client))
        CHECK(!reply.kind.data.last);
    CHECK_EQUAL(reply.which_kind, Reply_failure_tag);
    CHECK_EQUAL(reply.kind.failure.code, Failure_Code_INTERNAL);
    expect_end(client);
    CHECK_EQUAL(unlink(path), 0);
    client_close(client);
}

static void a_file_that_has_less_than_it_says_is_read_to_its_end(void) {
    struct stat status;
    const char *path = "/sys/class/net/lo/mtu";
    if (stat(path, &status) < 0 || status.st_size < 100)
        return;  // no sysfs here
    struct client *client = client_open();
    Request request = plain(Request_read_file_tag);
    request.kind.read_file.path = text_of(path);
    CHECK_EQUAL(call(client, &request).kind.file_info.size, 6);
    CHECK(text_equals(receive(client).kind.data.data, "65536\n"));
    CHECK(receive(client).kind.data.last);
    client_close(client);
}

static void a_file_that_does_not_know_its_size_is_read_to_its_end(void) {
    struct client *client = client_open();
    Request request = plain(Request_read_file_tag);
    request.kind.read_file.path = text_of("/proc/self/stat");
    CHECK_EQUAL(call(client, &request).kind.file_info.size, 0);
    Reply reply = receive(client);
    CHECK(reply.kind.data.data.size > 10 && !reply.kind.data.last);
    reply = receive(client);
    CHECK(reply.kind.data.data.size == 0 && reply.kind.data.last);
    expect_usable(client);
    client_close(client);
}

static int entries_in_workplace(void) {
    struct client *client = client_open();
    Request request = plain(Request_list_directory_tag);
    request.kind.list_directory.path = text_of(workplace);
    Reply reply = call(client, &request);
    CHECK_EQUAL(reply.which_kind, Reply_entries_tag);
    CHECK(reply.kind.entries.last);
    int count = (int)reply.kind.entries.entries.count;
    client_close(client);
    return count;
}

static void an_upload_that_ends_early_changes_nothing(void) {
    struct client *client = client_open();
    Request request = write_of(in_workplace("kept"));
    send_request(client, &request);
    request = data_of("old", 3, true);
    send_request(client, &request);
    expect_done(client);
    int before = entries_in_workplace();
    request = write_of(in_workplace("kept"));
    send_request(client, &request);
    request = data_of("new", 3, false);
    send_request(client, &request);
    client_close(client);
    usleep(300000);
    CHECK(holds(in_workplace("kept"), "old"));
    CHECK_EQUAL(entries_in_workplace(), before);
}

static void odd_messages_in_an_upload_end_it(void) {
    static const unsigned char large[DATA_MAX + 1];
    for (int i = 0; i < 3; i++) {
        struct client *client = client_open();
        Request request = write_of(in_workplace("odd"));
        send_request(client, &request);
        request = i == 0 ? ping : data_of(large, sizeof large, true);
        if (i < 2)
            send_request(client, &request);
        else
            send_bytes(client, (const unsigned char[]){0, 0, 0, 0}, 4);
        expect_failure(client, Failure_Code_BAD_REQUEST);
        expect_end(client);
        client_close(client);
    }
    CHECK(access(in_workplace("odd"), F_OK) < 0);
}

static void a_refused_upload_is_skipped(void) {
    struct client *client = client_open();
    Request request = write_of(workplace);
    send_request(client, &request);
    request = data_of("x", 1, false);
    for (int i = 0; i < 10; i++)
        send_request(client, &request);
    expect_failure(client, Failure_Code_IS_DIRECTORY);
    request = data_of("x", 1, true);
    send_request(client, &request);
    expect_usable(client);
    client_close(client);
}

static void a_worker_that_dies_takes_its_connection_along(void) {
    struct client *client = client_open();
    Request request = write_of(in_workplace("dead"));
    send_request(client, &request);
    usleep(200000);
    char path[64], children[256] = {0};
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", agent, agent);
    int fd = open(path, O_RDONLY);
    CHECK(read(fd, children, sizeof children - 1) > 0);
    close(fd);
    kill(atoi(children), SIGKILL);
    expect_end(client);
    client_close(client);
    client = client_open();
    expect_usable(client);
    client_close(client);
}

static void a_name_that_is_not_text_can_be_seen_and_goes_with_its_directory(void) {
    struct client *client = client_open();
    mkdir(in_workplace("names"), 0755);
    close(open(in_workplace("names/a\xff"), O_CREAT | O_WRONLY, 0644));
    Request request = plain(Request_list_directory_tag);
    request.kind.list_directory.path = text_of(in_workplace("names"));
    Reply reply = call(client, &request);
    CHECK_EQUAL(reply.kind.entries.entries.count, 1);
    CHECK(memmem(reply.kind.entries.entries.first->text.data, reply.kind.entries.entries.first->text.size, "a\\xff", 5));
    request = plain(Request_remove_tag);
    request.kind.remove.path = text_of(in_workplace("names"));
    send_request(client, &request);
    expect_done(client);
    client_close(client);
}

// ---- Renew and freezing

static void bad_renewals_change_nothing(void) {
    static const unsigned char bytes[513];
    struct client *client = client_open();
    for (int i = 0; i < 6; i++) {
        Request request = {.which_kind = Request_renew_tag};
        Renew *renew = &request.kind.renew;
        *renew = (Renew){.token = {bytes, 32}, .entropy = {bytes, 64}, .clock_unix_nanos = 1};
        if (i == 0)
            renew->token.size = 31;
        if (i == 1)
            renew->entropy.size = 31;
        if (i == 2)
            renew->entropy.size = 513;
        if (i == 3)
            renew->clock_unix_nanos = 0;
        if (i == 4)
            renew->hostname = text_of("UPPER");
        if (i == 5)
            renew->hostname = text_of("-x");
        send_request(client, &request);
        expect_failure(client, Failure_Code_BAD_REQUEST);
    }
    expect_usable(client);
    client_close(client);
}

static void freezing_without_a_cgroup_is_a_failure(void) {
    struct client *client = client_open();
    Request request = plain(Request_freeze_tag);
    send_request(client, &request);
    expect_failure(client, Failure_Code_INTERNAL);
    request.kind.freeze.timeout_ms = 100000;
    send_request(client, &request);
    expect_failure(client, Failure_Code_BAD_REQUEST);
    expect_usable(client);
    client_close(client);
}

static void thawing_what_is_not_frozen_is_done(void) {
    static const unsigned char bytes[64];
    struct client *client = client_open();
    Request request = plain(Request_thaw_tag);
    send_request(client, &request);
    expect_done(client);
    for (int i = 0; i < 2; i++) {
        request = (Request){.which_kind = Request_renew_tag};
        request.kind.renew = (Renew){.token = {bytes, 32}, .entropy = {bytes, 64}, .clock_unix_nanos = 1, .thaw = true};
        Reply reply = call(client, &request);
        CHECK_EQUAL(reply.which_kind, Reply_done_tag);
        CHECK(clock_unix_nanos() - reply.kind.done.clock_unix_nanos < 1000000000);  // nobody sets a test's clock
    }
    expect_usable(client);
    client_close(client);
}

// What a host does first after a pause.
static void hello_and_a_renewal_may_come_in_one_packet(void) {
    static const unsigned char bytes[64];
    static unsigned char packet[2 * (FRAME_HEADER + FRAME_MAX)];
    Request hello = hello_with(1, 1, zero_token, sizeof zero_token);
    Request renew = {.which_kind = Request_renew_tag};
    renew.kind.renew = (Renew){.token = {bytes, 32}, .entropy = {bytes, 64}, .clock_unix_nanos = 1};
    struct client *client = client_connect();
    ssize_t first = codec_encode_request(&hello, packet, sizeof packet);
    ssize_t second = codec_encode_request(&renew, packet + first, sizeof packet - (size_t)first);
    send_bytes(client, packet, (size_t)(first + second));
    struct pollfd one = {.fd = client->fd, .events = POLLIN};
    CHECK_EQUAL(poll(&one, 1, REPLY_MILLIS), 1);
    unsigned char answer[512];
    ssize_t n = recv(client->fd, answer, sizeof answer, MSG_PEEK);
    CHECK_EQUAL(receive(client).which_kind, Reply_welcome_tag);
    CHECK_EQUAL(receive(client).which_kind, Reply_done_tag);
    size_t welcome;
    CHECK_EQUAL(frame_peek(answer, (size_t)n, &welcome), 1);
    CHECK((size_t)n > welcome);  // so does the answer
    client_close(client);
}

static void renewing_changes_the_token_and_resets_the_others(void) {
    static const unsigned char token[64] = {9, 8, 7};
    struct client *client = client_open();
    struct client *other = client_open();
    struct client *writer = client_open();
    Request start = start_of("sleep 1");
    CHECK_EQUAL(call(other, &start).which_kind, Reply_exec_started_tag);
    start = write_of(in_workplace("unfinished"));
    send_request(writer, &start);
    usleep(100000);
    Request request = {.which_kind = Request_renew_tag};
    request.kind.renew = (Renew){.token = {token, 32}, .entropy = {token, 64}, .clock_unix_nanos = 1};
    send_request(client, &request);
    expect_done(client);
    expect_end(other);
    client_close(other);
    expect_end(writer);
    client_close(writer);
    expect_usable(client);
    other = client_connect();
    Request hello = hello_with(1, 1, zero_token, 32);
    send_request(other, &hello);
    expect_failure(other, Failure_Code_UNAUTHENTICATED);
    client_close(other);
    other = client_connect();
    hello = hello_with(1, 1, token, 32);
    CHECK_EQUAL(call(other, &hello).which_kind, Reply_welcome_tag);
    request.kind.renew.token = (struct text){zero_token, 32};
    send_request(other, &request);
    expect_done(other);
    client_close(other);
    client_close(client);
}

// ---- The agent

static void start_agent(const char *program) {
    char port_file[256];
    int input[2];
    snprintf(port_file, sizeof port_file, "%s/port", workplace);
    CHECK_EQUAL(pipe2(input, O_CLOEXEC), 0);
    agent = fork();
    CHECK(agent >= 0);
    if (agent == 0) {
        dup2(input[0], 0);
        execl(program, program, "--listen", "127.0.0.1:0", "--port-file", port_file, "--until-end-of-input", (char *)NULL);
        _exit(127);
    }
    close(input[0]);
    agent_input = input[1];
    for (int i = 0; i < 1000 && port == 0; i++) {
        FILE *file = fopen(port_file, "re");
        if (file) {
            unsigned number = 0;
            CHECK_EQUAL(fscanf(file, "%u", &number), 1);
            port = (uint16_t)number;
            fclose(file);
        }
        usleep(10000);
    }
    CHECK(port != 0);
    unlink(port_file);
}

static void the_agent_ends_without_a_leak(void) {
    int status;
    close(agent_input);
    CHECK_EQUAL(waitpid(agent, &status, 0), agent);
    CHECK_EQUAL(status, 0);
}

static const struct test tests[] = {
    {"a silent connection is opened", a_silent_connection_is_opened},
    {"a connection begins with a fitting hello", a_connection_begins_with_a_fitting_hello},
    {"bad frames end their connection only", bad_frames_end_their_connection_only},
    {"a truncated frame does no harm", a_truncated_frame_does_no_harm},
    {"a frame may come byte by byte, and many at once", a_frame_may_come_byte_by_byte_and_many_at_once},
    {"a request from the future is refused and nothing else", a_request_from_the_future_is_refused_and_nothing_else},
    {"requests out of order end the connection", requests_out_of_order_end_the_connection},
    {"an unlisted command is forgotten once it was read", an_unlisted_command_is_forgotten_once_it_was_read},
    {"bad execs are refused and the connection goes on", bad_execs_are_refused_and_the_connection_goes_on},
    {"bad requests while reading end the connection", bad_requests_while_reading_end_the_connection},
    {"a command runs and its exit is told once", a_command_runs_and_its_exit_is_told_once},
    {"a child has only its own descriptors", a_child_has_only_its_own_descriptors},
    {"unacknowledged output is bounded", unacknowledged_output_is_bounded},
    {"more input than the window is refused", more_input_than_the_window_is_refused},
    {"what crosses the exit is ignored", what_crosses_the_exit_is_ignored},
    {"a detached command goes on and can be attached", a_detached_command_goes_on_and_can_be_attached},
    {"old commands are forgotten", old_commands_are_forgotten},
    {"a terminal that is hung up ends in order", a_terminal_that_is_hung_up_ends_in_order},
    {"operations may follow each other without waiting", operations_may_follow_each_other_without_waiting},
    {"a large file goes in and comes back", a_large_file_goes_in_and_comes_back},
    {"a file that gets shorter while it is read is a failure", a_file_that_gets_shorter_while_it_is_read_is_a_failure},
    {"a file that has less than it says is read to its end", a_file_that_has_less_than_it_says_is_read_to_its_end},
    {"a file that does not know its size is read to its end", a_file_that_does_not_know_its_size_is_read_to_its_end},
    {"an upload that ends early changes nothing", an_upload_that_ends_early_changes_nothing},
    {"odd messages in an upload end it", odd_messages_in_an_upload_end_it},
    {"a refused upload is skipped", a_refused_upload_is_skipped},
    {"a name that is not text can be seen and goes with its directory",
     a_name_that_is_not_text_can_be_seen_and_goes_with_its_directory},
    {"bad renewals change nothing", bad_renewals_change_nothing},
    {"freezing without a cgroup is a failure", freezing_without_a_cgroup_is_a_failure},
    {"it is ended after five seconds", it_is_ended_after_five_seconds},
    {"more connections than there may be are turned away", more_connections_than_there_may_be_are_turned_away},
    {"orphans are reaped", orphans_are_reaped},
    {"a worker that dies takes its connection along", a_worker_that_dies_takes_its_connection_along},
    {"thawing what is not frozen is done", thawing_what_is_not_frozen_is_done},
    {"hello and a renewal may come in one packet", hello_and_a_renewal_may_come_in_one_packet},
    {"renewing changes the token and resets the others", renewing_changes_the_token_and_resets_the_others},
    {"the agent ends without a leak", the_agent_ends_without_a_leak},
};

int main(int argc, char **argv) {
    CHECK(argc == 2);
    snprintf(workplace, sizeof workplace, "%s/sandglass-agent-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    CHECK(mkdtemp(workplace) != NULL);
    start_agent(argv[1]);
    RUN_TESTS(tests);
    path_remove_tree(workplace);
    return 0;
}
