/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include "mountpoint.h"

#define FUSE_USE_VERSION 31
#include <fuse_lowlevel.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree {
    const struct tree_ops *ops;
    void *provider;
    struct mountpoint mountpoint;
    struct fuse_session *session;
    struct fuse_buf request;
    uid_t uid;
    gid_t gid;
    struct timespec made;
    bool ended; /* nothing more comes from the kernel */
    pthread_mutex_t lock; /* of what follows, and of `seen` and `waiting` in all that is open */
    struct handle *handles;
    uint64_t changes;
    size_t held_bytes; /* by those who have files open; of who serves */
};

/* What a directory held when it was opened. */
struct tree_list {
    struct buffer {
        char *data;
        size_t len, size;
    } names, entries;
};

/* An open file or directory. */
struct handle {
    struct handle *next, **back;
    struct tree_list list; /* of a directory */
    struct tree_text text; /* of a file */
    bool has_text, is_listed;
    uint64_t seen; /* the changes that the text knows */
    struct fuse_pollhandle *waiting;
};
struct entry {
    uint64_t id;
    size_t name; /* where it begins among the names */
    bool is_directory;
};

/* ---- What is open ------------------------------------------------------------------ */

static struct handle *handle_of(const struct fuse_file_info *fi) {
    return (struct handle *)(uintptr_t)fi->fh;
}

static struct handle *handle_new(struct tree *tree) {
    struct handle *handle = calloc(1, sizeof(*handle));
    if (!handle)
        return NULL;
    pthread_mutex_lock(&tree->lock);
    handle->next = tree->handles;
    handle->back = &tree->handles;
    if (handle->next)
        handle->next->back = &handle->next;
    tree->handles = handle;
    pthread_mutex_unlock(&tree->lock);
    return handle;
}

static size_t held_bytes(const struct handle *file) {
    return file->has_text && file->text.is_own ? file->text.len : 0;
}

static void drop_text(struct tree *tree, struct handle *file) {
    tree->held_bytes -= held_bytes(file);
    if (file->has_text && file->text.release)
        file->text.release(file->text.owner);
    file->has_text = false;
}

/* Also where the answer to an open did not arrive, as whoever asked was interrupted: then
 * no release comes. */
static void handle_free(struct tree *tree, struct handle *handle) {
    if (!handle)
        return;
    pthread_mutex_lock(&tree->lock);
    *handle->back = handle->next;
    if (handle->next)
        handle->next->back = handle->back;
    if (handle->waiting)
        fuse_pollhandle_destroy(handle->waiting);
    pthread_mutex_unlock(&tree->lock);
    drop_text(tree, handle);
    free(handle->list.names.data);
    free(handle->list.entries.data);
    free(handle);
}

static void serve_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi) {
    (void)id;
    handle_free(fuse_req_userdata(req), handle_of(fi));
    fuse_reply_err(req, 0);
}

/* ---- Directories ------------------------------------------------------------------ */

static int append(struct buffer *b, const void *data, size_t len) {
    if (b->size - b->len < len) {
        size_t size = b->size ? b->size * 2 : 1024;
        while (size - b->len < len)
            size *= 2;
        char *grown = realloc(b->data, size);
        if (!grown)
            return -ENOMEM;
        b->data = grown;
        b->size = size;
    }
    memcpy(b->data + b->len, data, len);
    b->len += len;
    return 0;
}

int tree_list_add(struct tree_list *list, const char *name, uint64_t id, bool is_directory) {
    const struct entry entry = {.id = id, .name = list->names.len, .is_directory = is_directory};
    int r = append(&list->names, name, strlen(name) + 1);
    return r < 0 ? r : append(&list->entries, &entry, sizeof(entry));
}

static int list_fill(struct tree *tree, uint64_t directory, struct tree_list *list) {
    list->names.len = list->entries.len = 0;
    int r = tree_list_add(list, ".", directory, true);
    if (r == 0)
        r = tree_list_add(list, "..", TREE_ROOT, true);
    return r < 0 ? r : tree->ops->list(tree->provider, directory, list);
}

static void serve_opendir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi) {
    struct tree *tree = fuse_req_userdata(req);
    struct handle *dir = handle_new(tree);
    int r = dir ? list_fill(tree, id, &dir->list) : -ENOMEM;
    fi->fh = (uintptr_t)dir;
    if (r < 0)
        fuse_reply_err(req, -r);
    if (r < 0 || fuse_reply_open(req, fi) == -ENOENT)
        handle_free(tree, dir);
}

/* An offset is the number of an entry in the list that the descriptor has. */
static void serve_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                          struct fuse_file_info *fi) {
    struct handle *dir = handle_of(fi);
    int r = offset == 0 && dir->is_listed ? list_fill(fuse_req_userdata(req), id, &dir->list) : 0;
    const struct entry *entries = (const struct entry *)(const void *)dir->list.entries.data;
    const size_t count = dir->list.entries.len / sizeof(*entries);
    char *to = r == 0 ? malloc(size) : NULL;
    size_t len = 0;
    if (!to) {
        fuse_reply_err(req, r < 0 ? -r : ENOMEM);
        return;
    }
    dir->is_listed = true;
    for (size_t i = (size_t)offset; i < count; i++) {
        const struct stat st = {.st_ino = entries[i].id,
                                .st_mode = entries[i].is_directory ? S_IFDIR : S_IFREG};
        size_t more = fuse_add_direntry(req, to + len, size - len,
                                        dir->list.names.data + entries[i].name, &st, (off_t)i + 1);
        if (more > size - len)
            break;
        len += more;
    }
    fuse_reply_buf(req, to, len);
    free(to);
}

/* ---- What there is ------------------------------------------------------------------ */

static struct stat describe(const struct tree *tree, const struct tree_node *node) {
    return (struct stat){
        .st_ino = node->id,
        .st_mode = node->is_directory ? S_IFDIR | 0555 : S_IFREG | (node->is_writable ? 0644 : 0444),
        .st_nlink = 1, /* for a directory: do not work out from this how many are in it */
        .st_uid = tree->uid,
        .st_gid = tree->gid,
        .st_size = (off_t)node->size_bytes,
        .st_blocks = (blkcnt_t)((node->size_bytes + 511) / 512), /* else it is full of holes */
        .st_blksize = 4096,
        .st_atim = node->changed,
        .st_mtim = node->changed,
        .st_ctim = tree->made, /* else tar(1) says that it changed while it was read */
    };
}

/* A size is true for the moment only. */
static double known_for_s(const struct tree_node *node) {
    return node->is_directory ? node->known_for_s : 0;
}

static void serve_lookup(fuse_req_t req, fuse_ino_t directory, const char *name) {
    struct tree *tree = fuse_req_userdata(req);
    struct tree_node node;
    int r = tree->ops->lookup(tree->provider, directory, name, &node);
    if (r < 0) {
        fuse_reply_err(req, -r);
        return;
    }
    const struct fuse_entry_param entry = {.ino = node.id, .attr = describe(tree, &node),
                                           .attr_timeout = known_for_s(&node),
                                           .entry_timeout = node.known_for_s};
    fuse_reply_entry(req, &entry);
}

static void serve_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi) {
    (void)fi; /* fstat(2) does not give it */
    struct tree *tree = fuse_req_userdata(req);
    struct tree_node node;
    int r = tree->ops->look(tree->provider, id, &node);
    if (r < 0) {
        fuse_reply_err(req, -r);
        return;
    }
    const struct stat st = describe(tree, &node);
    fuse_reply_attr(req, &st, known_for_s(&node));
}

/* May whoever asks write there? Without default_permissions, which would cost a request
 * for each file that is opened, nobody else looks. */
static int may_write(struct tree *tree, fuse_req_t req, uint64_t id) {
    struct tree_node node;
    int r = tree->ops->look(tree->provider, id, &node);
    if (r < 0)
        return r;
    if (node.is_directory || !node.is_writable)
        return -EROFS;
    const uid_t uid = fuse_req_ctx(req)->uid;
    return uid == tree->uid || uid == 0 ? 0 : -EACCES;
}

static void serve_access(fuse_req_t req, fuse_ino_t id, int mask) {
    struct tree *tree = fuse_req_userdata(req);
    int r = mask & W_OK ? may_write(tree, req, id) : tree->ops->look(tree->provider, id, NULL);
    fuse_reply_err(req, -r);
}

/* ">" cuts a file down before it writes, which is fine for one that is written whole. */
static void serve_setattr(fuse_req_t req, fuse_ino_t id, struct stat *attr, int what,
                          struct fuse_file_info *fi) {
    int r = what & ~(FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_CTIME) ||
                    !(what & FUSE_SET_ATTR_SIZE) || attr->st_size != 0
                ? -EROFS
                : may_write(fuse_req_userdata(req), req, id);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        serve_getattr(req, id, fi);
}

/* ---- Files ---------------------------------------------------------------------------- */

static void serve_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi) {
    struct tree *tree = fuse_req_userdata(req);
    int r = (fi->flags & O_ACCMODE) != O_RDONLY ? may_write(tree, req, id)
                                                : tree->ops->look(tree->provider, id, NULL);
    struct handle *file = r == 0 ? handle_new(tree) : NULL;
    if (!file) {
        fuse_reply_err(req, r < 0 ? -r : ENOMEM);
        return;
    }
    fi->fh = (uintptr_t)file;
    fi->direct_io = 1;
    if (fuse_reply_open(req, fi) == -ENOENT)
        handle_free(tree, file);
}

static void serve_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                       struct fuse_file_info *fi) {
    struct tree *tree = fuse_req_userdata(req);
    struct handle *file = handle_of(fi);
    if (offset == 0 || !file->has_text) {
        drop_text(tree, file);
        pthread_mutex_lock(&tree->lock);
        file->seen = tree->changes; /* before the text: rather wake once too often */
        pthread_mutex_unlock(&tree->lock);
        file->text = (struct tree_text){0};
        int r = tree->ops->text(tree->provider, id, &file->text);
        if (r < 0) {
            fuse_reply_err(req, -r);
            return;
        }
        file->has_text = true;
        const size_t before = tree->held_bytes;
        tree->held_bytes += held_bytes(file);
        if (before && tree->held_bytes > TREE_HELD_MOST) {
            drop_text(tree, file);
            fuse_reply_err(req, ENOMEM);
            return;
        }
    }
    size_t from = (size_t)offset < file->text.len ? (size_t)offset : file->text.len;
    size_t len = file->text.len - from < size ? file->text.len - from : size;
    fuse_reply_buf(req, len ? file->text.data + from : NULL, len);
}

/* One write is one text: a second piece, which would be taken for another, is refused. */
static void serve_write(fuse_req_t req, fuse_ino_t id, const char *text, size_t len, off_t offset,
                        struct fuse_file_info *fi) {
    struct tree *tree = fuse_req_userdata(req);
    int r = -EINVAL;
    /* the kernel cuts a long one into pieces of 128 KiB and more, all but the last */
    if (!tree->ops->write)
        r = -EROFS;
    else if (len <= TREE_WRITE_MOST && (offset == 0 || fi->flags & O_APPEND))
        r = tree->ops->write(tree->provider, id, text, len);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_write(req, len);
}

static void serve_poll(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi,
                       struct fuse_pollhandle *waiting) {
    (void)id;
    struct tree *tree = fuse_req_userdata(req);
    struct handle *file = handle_of(fi);
    pthread_mutex_lock(&tree->lock);
    const bool news = !tree->ops->announces || !file->has_text || file->seen != tree->changes;
    if (waiting) {
        if (file->waiting)
            fuse_pollhandle_destroy(file->waiting);
        file->waiting = waiting;
    }
    pthread_mutex_unlock(&tree->lock);
    fuse_reply_poll(req, (news ? POLLIN | POLLRDNORM | POLLPRI : 0) | POLLOUT | POLLWRNORM);
}

void tree_changed(struct tree *tree) {
    pthread_mutex_lock(&tree->lock);
    tree->changes++;
    for (struct handle *file = tree->handles; file; file = file->next) {
        if (!file->waiting)
            continue;
        fuse_lowlevel_notify_poll(file->waiting);
        fuse_pollhandle_destroy(file->waiting);
        file->waiting = NULL;
    }
    pthread_mutex_unlock(&tree->lock);
}

/* ---- What is refused: without an answer of ours it would be ENOSYS --------------------- */

static void refuse_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                         dev_t device) {
    (void)parent, (void)name, (void)mode, (void)device;
    fuse_reply_err(req, EROFS);
}
static void refuse_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                          struct fuse_file_info *fi) {
    (void)parent, (void)name, (void)mode, (void)fi;
    fuse_reply_err(req, EROFS);
}
static void refuse_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode) {
    (void)parent, (void)name, (void)mode;
    fuse_reply_err(req, EROFS);
}
static void refuse_unlink(fuse_req_t req, fuse_ino_t parent, const char *name) {
    (void)parent, (void)name;
    fuse_reply_err(req, EROFS);
}
static void refuse_symlink(fuse_req_t req, const char *to, fuse_ino_t parent, const char *name) {
    (void)to, (void)parent, (void)name;
    fuse_reply_err(req, EROFS);
}
static void refuse_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t parent, const char *name) {
    (void)id, (void)parent, (void)name;
    fuse_reply_err(req, EROFS);
}
static void refuse_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,
                          const char *to_name, unsigned flags) {
    (void)parent, (void)name, (void)to_parent, (void)to_name, (void)flags;
    fuse_reply_err(req, EROFS);
}

/* ---- The whole -------------------------------------------------------------------------- */

static const struct fuse_lowlevel_ops operations = {
    .lookup = serve_lookup,
    .getattr = serve_getattr,
    .setattr = serve_setattr,
    .access = serve_access,
    .opendir = serve_opendir,
    .readdir = serve_readdir,
    .releasedir = serve_release,
    .open = serve_open,
    .read = serve_read,
    .write = serve_write,
    .poll = serve_poll,
    .release = serve_release,
    .mknod = refuse_mknod,
    .create = refuse_create,
    .mkdir = refuse_mkdir,
    .unlink = refuse_unlink,
    .rmdir = refuse_unlink,
    .symlink = refuse_symlink,
    .link = refuse_link,
    .rename = refuse_rename,
};

int tree_new(const struct tree_ops *ops, void *provider, const struct tree_options *options,
             struct tree **ret_tree, struct tally_error *error) {
    struct tree *tree = calloc(1, sizeof(*tree));
    if (!tree) {
        if (error)
            snprintf(error->text, sizeof(error->text), "out of memory");
        return -ENOMEM;
    }
    *tree = (struct tree){.ops = ops, .provider = provider, .uid = geteuid(), .gid = getegid(),
                          .lock = PTHREAD_MUTEX_INITIALIZER};
    clock_gettime(CLOCK_REALTIME, &tree->made);
    int fd, r = mountpoint_open(&tree->mountpoint, options->mountpoint, !ops->write,
                                options->allow_other, &fd, error);
    if (r < 0) {
        free(tree);
        return r;
    }
    /* libfuse takes over the descriptor of a mount that is there when given such a name. */
    char name[] = "proctally", *argv[] = {name, NULL}, where[32];
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    snprintf(where, sizeof(where), "/dev/fd/%d", fd);
    tree->session = fuse_session_new(&args, &operations, sizeof(operations), tree);
    fuse_opt_free_args(&args);
    if (tree->session && fuse_session_mount(tree->session, where) == 0 &&
        fcntl(fd, F_SETFL, O_NONBLOCK) == 0) {
        *ret_tree = tree;
        return 0;
    }
    if (!tree->session)
        close(fd);
    if (error)
        snprintf(error->text, sizeof(error->text), "libfuse could not take over %s",
                 tree->mountpoint.path);
    tree_free(tree);
    return -EIO;
}

int tree_fd(const struct tree *tree) {
    return fuse_session_fd(tree->session);
}

/* So that who waits for an answer gets ENOTCONN: nobody will give one. The descriptor itself is
 * libfuse's. */
static void hang_up(struct tree *tree) {
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return;
    dup3(null, fuse_session_fd(tree->session), O_CLOEXEC);
    close(null);
}

int tree_serve(struct tree *tree) {
    if (tree->ended)
        return 1;
    int r = fuse_session_receive_buf(tree->session, &tree->request);
    if (r == -ENOMEM)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL); /* the request waits as well */
    if (r == -EAGAIN || r == -EINTR || r == -ENOMEM)
        return 0;
    /* the mount ended while the kernel was handing over a request, which it has answered itself;
     * libfuse knows only the usual ENODEV for an end */
    if (r == -ECONNABORTED)
        r = 0;
    if (r > 0)
        fuse_session_process_buf(tree->session, &tree->request);
    tree->ended = r <= 0 || fuse_session_exited(tree->session);
    if (r < 0)
        hang_up(tree);
    return r < 0 ? r : tree->ended;
}

void tree_leave(struct tree *tree) {
    close(fuse_session_fd(tree->session));
    close(tree->mountpoint.watcher_fd);
}

struct tree *tree_free(struct tree *tree) {
    if (!tree)
        return NULL;
    const bool mounted = mountpoint_is_ours(&tree->mountpoint);
    if (tree->session)
        fuse_session_destroy(tree->session);
    mountpoint_close(&tree->mountpoint, mounted);
    while (tree->handles)
        handle_free(tree, tree->handles);
    pthread_mutex_destroy(&tree->lock);
    free(tree->request.mem);
    free(tree);
    return NULL;
}
