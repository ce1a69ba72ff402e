#define _GNU_SOURCE
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "path.h"
#include "users.h"

enum { WRITE_BACK_BYTES = 8 << 20, PAGE_BYTES = 4096, PARTS_MAX = 64 };

enum { LISTING_CHUNK = 32 << 10, LISTING_ENTRIES = 512, MODE_BITS = 07777, MODE_NEW = 0644 };

#define RENAME_NOREPLACE_FLAG 1U  // linux/fs.h, which does not go together with musl's headers

static bool refuse(struct session *session, int error, const char *what, struct text path) {
    struct failure failure;
    fail_errno(&failure, error, what, path);
    return session_fail(session, &failure);
}

// ---- Writing

struct upload {
    char target[PATH_BYTES_MAX];
    char temporary[PATH_BYTES_MAX + 64];
    mode_t mode;
    int fd;
    bool complete;  // Data{last} has come
    off_t written;
    off_t begun;  // of which the disk has been told to write so much
};

// Where the content goes in the end: what a link points to, if that exists.
static bool resolve_target(const struct text path, struct upload *upload, struct failure *failure) {
    char resolved[PATH_MAX];
    struct stat status;
    if (!path_take_entry(path, upload->target, failure))
        return false;
    if (lstat(upload->target, &status) == 0 && S_ISLNK(status.st_mode) && realpath(upload->target, resolved))
        strcpy(upload->target, resolved);
    return true;
}

static bool examine_target(const WriteFile *request, struct upload *upload, struct failure *failure) {
    struct stat status;
    upload->mode = MODE_NEW;
    if (lstat(upload->target, &status) == 0) {
        if (S_ISDIR(status.st_mode))
            return fail_errno(failure, EISDIR, "write", request->path);
        if (!S_ISREG(status.st_mode) && !S_ISLNK(status.st_mode))
            return fail(failure, Failure_Code_BAD_REQUEST, "only regular files can be written");
        if (S_ISREG(status.st_mode))
            upload->mode = status.st_mode & MODE_BITS;
    } else if (errno != ENOENT && errno != ENOTDIR) {
        return fail_errno(failure, errno, "write", request->path);
    }
    if (request->mode != 0)
        upload->mode = (mode_t)request->mode;
    return true;
}

static bool open_temporary(const WriteFile *request, struct upload *upload, struct failure *failure) {
    char parent[PATH_BYTES_MAX];
    unsigned long long number;
    path_parent(upload->target, parent);
    int status = path_make_directories(parent);
    if (status < 0)
        return fail_errno(failure, -status, "make the directory of", request->path);
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return fail_errno(failure, errno, "choose a temporary name for", request->path);
    snprintf(upload->temporary, sizeof upload->temporary, "%s/.sandglass-%016llx.tmp", parent, number);
    upload->fd = open(upload->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return upload->fd >= 0 ? true : fail_errno(failure, errno, "write", request->path);
}

static bool begin_upload(const WriteFile *request, struct upload *upload, struct failure *failure) {
    struct user user;
    int status = users_find(request->user, &user);
    if (status < 0)
        return fail(failure, Failure_Code_NOT_FOUND, "there is no such user");
    if (request->mode > MODE_BITS)
        return fail(failure, Failure_Code_BAD_REQUEST, "mode is at most 07777");
    if (users_become(&user) < 0)
        return fail_errno(failure, errno, "become user", request->user);
    return resolve_target(request->path, upload, failure) && examine_target(request, upload, failure) &&
           open_temporary(request, upload, failure);
}

static int write_all(int fd, struct iovec *parts, int count) {
    while (count > 0) {
        ssize_t n = writev(fd, parts, count);
        if (n < 0 && errno != EINTR)
            return -errno;
        for (size_t left = n > 0 ? (size_t)n : 0; count > 0 && (left > 0 || parts->iov_len == 0);) {
            size_t done = left < parts->iov_len ? left : parts->iov_len;
            parts->iov_base = (char *)parts->iov_base + done;
            parts->iov_len -= done;
            left -= done;
            if (parts->iov_len == 0) {
                parts++;
                count--;
            }
        }
    }
    return 0;
}

static bool next_data(struct session *session, struct upload *upload, struct text *data) {
    Request request;
    if (!session_receive(session, &request))
        return false;
    *data = request.kind.data.data;
    upload->complete = request.kind.data.last;
    if (request.which_kind == Request_data_tag && data->size <= DATA_MAX)
        return true;
    struct failure failure;
    fail(&failure, Failure_Code_BAD_REQUEST, "after write_file comes Data of at most %d bytes", DATA_MAX);
    return session_fail_and_end(session, &failure);
}

// Lets the disk begin with what is complete, so that little is left to wait for at the end.
static void begin_writing_back(struct upload *upload) {
    if (upload->written - upload->begun < WRITE_BACK_BYTES)
        return;
    sync_file_range(upload->fd, upload->begun, upload->written - upload->begun, SYNC_FILE_RANGE_WRITE);
    upload->begun = upload->written;
}

// What has come is written together: 0, -errno when it cannot be, or 1 when the connection is over.
static int receive_some(struct session *session, struct upload *upload) {
    struct iovec parts[PARTS_MAX];
    struct text data;
    int count = 0;
    do {
        if (!next_data(session, upload, &data))
            return 1;
        parts[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)data.data, .iov_len = data.size};
        upload->written += (off_t)data.size;
    } while (count < PARTS_MAX && !upload->complete && session_holds_request(session));
    return write_all(upload->fd, parts, count);
}

static int receive_content(struct session *session, struct upload *upload) {
    int status = 0;
    while (status == 0 && !upload->complete) {
        status = receive_some(session, upload);
        begin_writing_back(upload);
    }
    return status;
}

// The host may have sent much before it learns that the file is refused.
static void skip_content(struct session *session, struct upload *upload) {
    struct text data;
    while (!upload->complete && next_data(session, upload, &data))
        ;
}

static int put_in_place(struct upload *upload) {
    if (fchmod(upload->fd, upload->mode) < 0 || fsync(upload->fd) < 0)
        return -errno;
    return rename(upload->temporary, upload->target) < 0 ? -errno : 0;
}

static void write_file(struct session *session, const WriteFile *request) {
    struct upload upload = {.fd = -1};
    struct failure failure;
    if (!begin_upload(request, &upload, &failure)) {
        session_fail(session, &failure);
        skip_content(session, &upload);
        return;
    }
    int status = receive_content(session, &upload);
    if (status == 0)
        status = put_in_place(&upload);
    if (status != 0)
        unlink(upload.temporary);
    if (status == 0)
        session_done(session);
    if (status < 0) {
        refuse(session, -status, "write", request->path);
        skip_content(session, &upload);
    }
}

// ---- Reading

static enum _FileInfo_Type type_of(mode_t mode) {
    return S_ISREG(mode)   ? FileInfo_Type_FILE
           : S_ISDIR(mode) ? FileInfo_Type_DIRECTORY
           : S_ISLNK(mode) ? FileInfo_Type_SYMLINK
                           : FileInfo_Type_OTHER;
}

// A FileInfo and the texts it points to.
struct described {
    FileInfo info;
    char name[4 * NAME_MAX + 1];
    uid_t uid;
    gid_t gid;
    char owner[USER_TEXT_MAX];
    char group[USER_TEXT_MAX];
    char target[PATH_BYTES_MAX];
};

static void describe_link(struct described *described, int at, const char *name) {
    char target[PATH_BYTES_MAX];
    ssize_t n = readlinkat(at, name, target, sizeof target);
    if (n <= 0)
        return;
    text_printable((struct text){(unsigned char *)target, (size_t)n}, described->target, sizeof described->target);
    described->info.symlink_target = text_of(described->target);
}

// Most files of a directory belong to the same user and group, whose names are not looked up again.
static void name_owner(struct described *described, const struct stat *status) {
    if (!described->owner[0] || described->uid != status->st_uid)
        users_name_of_uid(status->st_uid, described->owner, sizeof described->owner);
    if (!described->group[0] || described->gid != status->st_gid)
        users_name_of_gid(status->st_gid, described->group, sizeof described->group);
    described->uid = status->st_uid;
    described->gid = status->st_gid;
}

static void describe(struct described *described, int at, const char *name, const struct stat *status) {
    text_printable(text_of(name), described->name, sizeof described->name);
    name_owner(described, status);
    described->info = (FileInfo){
        .name = text_of(described->name),
        .type = type_of(status->st_mode),
        .size = (uint64_t)status->st_size,
        .mode = status->st_mode & MODE_BITS,
        .owner = text_of(described->owner),
        .group = text_of(described->group),
        .modified_unix_nanos = (int64_t)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec,
    };
    if (S_ISLNK(status->st_mode))
        describe_link(described, at, name);
}

static bool send_data(struct session *session, const unsigned char *bytes, size_t size, bool last) {
    Reply reply = {.which_kind = Reply_data_tag};
    reply.kind.data = (Data){.data = {bytes, size}, .last = last};
    return session_send(session, &reply);
}

static bool end_short(struct session *session, int error, struct text path) {
    struct failure failure;
    if (error != 0)
        fail_errno(&failure, error, "read", path);
    else
        fail(&failure, Failure_Code_INTERNAL, "the file became shorter while it was read");
    return session_fail_and_end(session, &failure);
}

// All there are, of a file that does not know its length.
static bool send_unknown(struct session *session, const ReadFile *request, int fd) {
    static unsigned char chunk[DATA_MAX];
    for (uint64_t at = request->offset;;) {
        ssize_t n = pread(fd, chunk, sizeof chunk, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return end_short(session, errno, request->path);
        if (n == 0)
            return send_data(session, NULL, 0, true);
        if (!send_data(session, chunk, (size_t)n, false))
            return false;
        at += (uint64_t)n;
    }
}

// What is not full goes out only when the cork is drawn, or after 200 ms.
static void cork(struct session *session, int on) {
    setsockopt(session->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

// That it was all is said last and apart: a file that becomes shorter is noticed only after its bytes were promised.
static bool send_content(struct session *session, const ReadFile *request, int fd, uint64_t left) {
    cork(session, 1);
    for (uint64_t at = request->offset; left > 0;) {
        size_t n = left < DATA_MAX ? (size_t)left : DATA_MAX;
        int error = 0;
        if (!session_send_file(session, fd, at, n, &error))
            return session->outcome == SESSION_USABLE && end_short(session, error, request->path);
        at += n;
        left -= n;
    }
    bool sent = send_data(session, NULL, 0, true);
    cork(session, 0);
    return sent;
}

static bool check_readable(const struct stat *status, const ReadFile *request, struct failure *failure) {
    if (S_ISDIR(status->st_mode))
        return fail_errno(failure, EISDIR, "read", request->path);
    if (!S_ISREG(status->st_mode))
        return fail(failure, Failure_Code_BAD_REQUEST, "only regular files can be read");
    if (request->offset > (uint64_t)status->st_size && status->st_size > 0)
        return fail(failure, Failure_Code_BAD_REQUEST, "offset is greater than the file's %lld bytes",
                    (long long)status->st_size);
    if (request->offset > INT64_MAX || request->length > INT64_MAX)
        return fail(failure, Failure_Code_BAD_REQUEST, "offset and length must be less than 2^63");
    return true;
}

// A file of sysfs says it has a page and has less: what is that small is read to see what there is.
static void correct_size(int fd, struct stat *status) {
    static unsigned char page[PAGE_BYTES];
    size_t size = (size_t)status->st_size, got = 0;
    if (!S_ISREG(status->st_mode) || status->st_size <= 0 || size > sizeof page)
        return;
    while (got < size) {
        ssize_t n = pread(fd, page + got, size - got, (off_t)got);
        if (n < 0 && errno != EINTR)
            return;
        if (n == 0)
            break;
        got += n > 0 ? (size_t)n : 0;
    }
    status->st_size = (off_t)got;
}

static bool send_file(struct session *session, const ReadFile *request, const char *path, int fd) {
    struct stat status;
    struct failure failure;
    static struct described described;
    if (fstat(fd, &status) < 0)
        return refuse(session, errno, "read", request->path);
    correct_size(fd, &status);
    if (!check_readable(&status, request, &failure))
        return session_fail(session, &failure);
    describe(&described, AT_FDCWD, strrchr(path, '/') + 1, &status);
    Reply reply = {.which_kind = Reply_file_info_tag};
    reply.kind.file_info = described.info;
    bool known = status.st_size > 0;
    uint64_t left = known ? (uint64_t)status.st_size - request->offset : 0;
    if (known && request->length > 0 && request->length < left)
        left = request->length;
    return session_send(session, &reply) &&
           (known ? send_content(session, request, fd, left) : send_unknown(session, request, fd));
}

static bool read_file(struct session *session, const ReadFile *request) {
    char path[PATH_BYTES_MAX];
    struct failure failure;
    if (!path_take(request->path, path, &failure))
        return session_fail(session, &failure);
    // Not blocking on a pipe that nobody writes to.
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? refuse(session, errno, "read", request->path) : send_file(session, request, path, fd);
}

// ---- Listing

struct listing {
    unsigned char encoded[LISTING_CHUNK];
    size_t used;
    Reply reply;
};

static bool send_listing(struct session *session, struct listing *listing, bool last) {
    listing->reply.kind.entries.last = last;
    bool sent = session_send(session, &listing->reply);
    listing->reply = (Reply){.which_kind = Reply_entries_tag};
    listing->used = 0;
    texts_pool_reset();
    return sent;
}

static bool append_entry(struct listing *listing, const FileInfo *info) {
    unsigned char *to = listing->encoded + listing->used;
    ssize_t n = codec_encode_file_info(info, to, sizeof listing->encoded - listing->used);
    if (n < 0 || listing->reply.kind.entries.entries.count == LISTING_ENTRIES)
        return false;
    listing->used += (size_t)n;
    return texts_append(&listing->reply.kind.entries.entries, (struct text){to, (size_t)n});
}

static bool list_entry(struct session *session, struct listing *listing, int at, const char *name) {
    static struct described described;
    struct stat status;
    if (fstatat(at, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return true;  // gone since
    describe(&described, at, name, &status);
    return append_entry(listing, &described.info) ||
           (send_listing(session, listing, false) && append_entry(listing, &described.info));
}

static bool list_directory(struct session *session, const ListDirectory *request) {
    static struct listing listing = {.reply = {.which_kind = Reply_entries_tag}};
    char path[PATH_BYTES_MAX];
    struct failure failure;
    if (!path_take(request->path, path, &failure))
        return session_fail(session, &failure);
    DIR *directory = opendir(path);
    if (!directory)
        return refuse(session, errno, "list", request->path);
    texts_pool_reset();
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!list_entry(session, &listing, dirfd(directory), entry->d_name))
            return false;
    }
    return send_listing(session, &listing, true);
}

// ---- Changing

static bool make_directory(struct session *session, const MakeDirectory *request) {
    char path[PATH_BYTES_MAX];
    struct failure failure;
    if (!path_take(request->path, path, &failure))
        return session_fail(session, &failure);
    int status = path_make_directories(path);
    return status < 0 ? refuse(session, -status, "make directory", request->path) : session_done(session);
}

static bool move(struct session *session, const Move *request) {
    char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX];
    struct failure failure;
    if (!path_take_entry(request->from, from, &failure) || !path_take_entry(request->to, to, &failure))
        return session_fail(session, &failure);
    if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE_FLAG) == 0)
        return session_done(session);
    return refuse(session, errno, "move", errno == EEXIST ? request->to : request->from);
}

static bool remove_path(struct session *session, const Remove *request) {
    char path[PATH_BYTES_MAX];
    struct failure failure;
    if (!path_take_entry(request->path, path, &failure))
        return session_fail(session, &failure);
    int status = path_remove_tree(path);
    return status < 0 ? refuse(session, -status, "remove", request->path) : session_done(session);
}

void file_serve(struct session *session, const Request *request) {
    umask(0);  // modes are said in full; directories are 0755
    switch (request->which_kind) {
    case Request_write_file_tag:
        write_file(session, &request->kind.write_file);
        break;
    case Request_read_file_tag:
        read_file(session, &request->kind.read_file);
        break;
    case Request_list_directory_tag:
        list_directory(session, &request->kind.list_directory);
        break;
    case Request_make_directory_tag:
        make_directory(session, &request->kind.make_directory);
        break;
    case Request_move_tag:
        move(session, &request->kind.move);
        break;
    default:
        remove_path(session, &request->kind.remove);
        break;
    }
}
