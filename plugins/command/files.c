/* SPDX-License-Identifier: MIT */
/* proctally files: what processes have open. */
#include "holders.h"
#include "json.h"
#include "sockets.h"
#include "table.h"
#include "verb.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Instead of a descriptor. */
enum { DIRECTORY = INT_MAX - 2, ROOT, MAPPED };
/* So many at the other end are named in a table, and in JSON: thousands of processes may have
 * one pipe, which is theirs from a common ancestor. */
#define PEERS_SHOWN 8
#define PEERS_MOST 100

struct file {
    size_t process; /* in the snapshot */
    unsigned fd;
    const char *type;
    char access[4]; /* "r", "w", "rw"; of what is mapped also "x"; "": not known */
    bool has_position, has_size, is_deleted;
    uint64_t position, size_bytes;
    bool is_pipe, is_fifo, is_socket;
    uint64_t device, inode; /* inode: of each of these; device: of a FIFO */
    char *path;     /* as the kernel names it, but without its mark of a deleted one */
};

struct files {
    struct look look;
    const struct cli *cli;
    bool with_mapped;
    struct file *items;
    size_t count, size;
    struct sockets sockets;
    struct holders holders;
    char **fifos; /* their paths as the kernel names them */
    size_t fifo_count, fifo_size;
    size_t looked_at, refused; /* processes */
    int error;                 /* why */
    char *text;                /* of `to` */
    size_t text_len;
    FILE *to; /* where what is more than a word is put together */
};

/* ---- Reading ------------------------------------------------------------------------------ */

/* Takes the path over, also when it fails. -ENOMEM: there was no room, or not even for a path. */
static int add(struct files *f, struct file file) {
    if (file.path && f->count == f->size) {
        const size_t size = f->size ? 2 * f->size : 256;
        struct file *items = realloc(f->items, size * sizeof(*items));
        if (items) {
            f->items = items;
            f->size = size;
        }
    }
    if (!file.path || f->count == f->size) {
        free(file.path);
        return -ENOMEM;
    }
    f->items[f->count++] = file;
    return 0;
}

static int add_fifo(struct files *f, const char *link) {
    if (f->fifo_count == f->fifo_size) {
        const size_t size = f->fifo_size ? 2 * f->fifo_size : 16;
        char **fifos = realloc(f->fifos, size * sizeof(*fifos));
        if (!fifos)
            return -ENOMEM;
        f->fifos = fifos;
        f->fifo_size = size;
    }
    char *path = strdup(link);
    if (!path)
        return -ENOMEM;
    f->fifos[f->fifo_count++] = path;
    return 0;
}

static bool look_at_inode(int dir, const char *path, struct stat *ret) {
    return fstatat(dir, path, ret, AT_NO_AUTOMOUNT) == 0;
}

/* The kernel puts " (deleted)" behind the path of what is no longer there; but a file may be
 * called so. Takes it off. `dir` is the process's. */
static bool take_off_deleted(int dir, char *path, const struct stat *open) {
    static const char mark[] = " (deleted)";
    const size_t len = strlen(path), mark_len = sizeof(mark) - 1;
    char inside[PATH_MAX + 16];
    struct stat found;
    if (len <= mark_len || strcmp(path + len - mark_len, mark) != 0)
        return false;
    snprintf(inside, sizeof(inside), "root%s", path);
    if (open && open->st_nlink > 0 && look_at_inode(dir, inside, &found) &&
        found.st_ino == open->st_ino && found.st_dev == open->st_dev)
        return false;
    path[len - mark_len] = '\0';
    return true;
}

static const char *type_of(const struct file *file, const struct stat *st) {
    if (file->is_pipe)
        return "pipe";
    if (file->is_socket)
        return "socket";
    if (file->path[0] != '/')
        return "anon";
    switch (st ? st->st_mode & S_IFMT : 0) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "dir";
    case S_IFCHR:
        return "char";
    case S_IFBLK:
        return "block";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    }
    return "-";
}

static void read_position(struct file *file, int dir) {
    char path[32], text[128];
    snprintf(path, sizeof(path), "fdinfo/%u", file->fd);
    const int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    file->has_position = strncmp(text, "pos:\t", 5) == 0;
    file->position = file->has_position ? strtoull(text + 5, NULL, 10) : 0;
}

/* One descriptor. 1: it has been closed meanwhile. */
static int read_file(struct files *f, size_t process, int dir, int fds, unsigned fd) {
    struct file file = {.process = process, .fd = fd};
    char name[16], link[PATH_MAX];
    struct stat st;
    bool can_read, can_write;
    snprintf(name, sizeof(name), "%u", fd);
    const ssize_t n = readlinkat(fds, name, link, sizeof(link) - 1);
    if (n < 0)
        return errno == EACCES ? -EACCES : 1;
    link[n] = '\0';
    bool is_pipe;
    if (holder_parse(link, (size_t)n, &is_pipe, &file.inode)) {
        file.is_pipe = is_pipe;
        file.is_socket = !is_pipe;
    }
    /* the mode of the link is that of the descriptor; without any it is only for the path */
    holder_access(fds, name, &can_read, &can_write);
    snprintf(file.access, sizeof(file.access), "%s%s", can_read ? "r" : "", can_write ? "w" : "");
    const bool has_inode = look_at_inode(fds, name, &st);
    file.path = strdup(link);
    if (!file.path)
        return -ENOMEM;
    file.type = type_of(&file, has_inode ? &st : NULL);
    if (link[0] == '/') {
        const mode_t mode = has_inode ? st.st_mode & S_IFMT : 0;
        file.is_deleted = take_off_deleted(dir, file.path, has_inode ? &st : NULL);
        file.has_size = mode == S_IFREG || mode == S_IFDIR;
        file.size_bytes = file.has_size ? (uint64_t)st.st_size : 0;
        if (mode == S_IFREG || mode == S_IFDIR || mode == S_IFBLK)
            read_position(&file, dir);
        file.is_fifo = mode == S_IFIFO;
        file.device = file.is_fifo ? st.st_dev : 0;
        file.inode = file.is_fifo ? st.st_ino : 0;
        if (file.is_fifo && add_fifo(f, link) < 0) {
            free(file.path);
            return -ENOMEM;
        }
    }
    return add(f, file);
}

static int read_descriptors(struct files *f, size_t process, int dir) {
    const int fd = openat(dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *fds = fd < 0 ? NULL : fdopendir(fd);
    if (!fds) {
        const int error = -errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    const struct dirent *entry;
    int r = 0;
    while (r >= 0 && (entry = readdir(fds)))
        if (entry->d_name[0] != '.')
            r = read_file(f, process, dir, fd, (unsigned)strtoul(entry->d_name, NULL, 10));
    closedir(fds);
    return r < 0 ? r : 0;
}

/* Where it is, and where its paths begin unless that is where ours do. */
static int read_directory(struct files *f, size_t process, int dir, const char *name, unsigned fd) {
    struct file file = {.process = process, .fd = fd, .type = "dir"};
    char link[PATH_MAX];
    struct stat st;
    const ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);
    if (n <= 0 || (fd == ROOT && n == 1))
        return 0; /* the descriptors will tell why */
    link[n] = '\0';
    const bool has_inode = look_at_inode(dir, name, &st);
    file.path = strdup(link);
    if (!file.path)
        return -ENOMEM;
    file.is_deleted = take_off_deleted(dir, file.path, has_inode ? &st : NULL);
    file.has_size = has_inode;
    file.size_bytes = has_inode ? (uint64_t)st.st_size : 0;
    return add(f, file);
}

/* "START-END PERMS OFFSET DEVICE INODE PATH"; NULL: no file is mapped there. */
static char *parse_mapping(char *line, char ret_access[4], uint64_t *ret_inode) {
    char *rest, *word[5];
    for (size_t i = 0; i < 5; i++)
        if (!(word[i] = strtok_r(i ? NULL : line, " \n", &rest)))
            return NULL;
    *ret_inode = strtoull(word[4], NULL, 10);
    rest += strspn(rest, " ");
    rest[strcspn(rest, "\n")] = '\0';
    size_t len = 0;
    for (const char *c = word[1]; *c; c++)
        if (strchr("rwx", *c) && len < 3)
            ret_access[len++] = *c;
    ret_access[len] = '\0';
    return *ret_inode && rest[0] == '/' ? rest : NULL;
}

static void merge_access(char access[4], const char *more) {
    char merged[4];
    size_t len = 0;
    for (const char *c = "rwx"; *c; c++)
        if (strchr(access, *c) || strchr(more, *c))
            merged[len++] = *c;
    merged[len] = '\0';
    memcpy(access, merged, sizeof(merged));
}

static int add_mapping(struct files *f, size_t process, int dir, char *path, const char *access,
                       uint64_t inode) {
    struct file file = {.process = process, .fd = MAPPED, .type = "file"};
    char inside[PATH_MAX + 16];
    struct stat st;
    snprintf(inside, sizeof(inside), "root%s", path);
    const bool is_there = look_at_inode(dir, inside, &st) && st.st_ino == inode;
    file.is_deleted = !is_there && take_off_deleted(dir, path, NULL);
    file.has_size = is_there;
    file.size_bytes = is_there ? (uint64_t)st.st_size : 0;
    snprintf(file.access, sizeof(file.access), "%s", access);
    file.path = strdup(path);
    return add(f, file);
}

/* The parts of a file are mapped one behind the other, and are shown as one. */
static int read_mappings(struct files *f, size_t process, int dir) {
    const int fd = openat(dir, "maps", O_RDONLY | O_CLOEXEC);
    FILE *maps = fd < 0 ? NULL : fdopen(fd, "r");
    if (!maps) {
        const int error = -errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    char *line = NULL, *last = NULL, access[4];
    size_t size = 0;
    uint64_t inode;
    int r = 0;
    while (r == 0 && getline(&line, &size, maps) >= 0) {
        char *path = parse_mapping(line, access, &inode);
        if (!path)
            continue;
        if (last && strcmp(last, path) == 0) {
            merge_access(f->items[f->count - 1].access, access);
            continue;
        }
        free(last);
        last = strdup(path);
        r = last ? add_mapping(f, process, dir, path, access, inode) : -ENOMEM;
    }
    free(line);
    free(last);
    fclose(maps);
    return r;
}

/* -ESRCH: it has ended; -EACCES: it can't be looked into; -ENOMEM, … What is opened of its
 * directory stays with the process, whoever gets its number. */
static int read_process(struct files *f, size_t process) {
    char path[PATH_MAX], unused[1];
    snprintf(path, sizeof(path), "%s/%ld", f->look.procfs,
             (long)tally_snapshot_process(f->look.snapshot, process)->pid);
    const int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    int r = tally_snapshot_process_text(f->look.snapshot, process, TALLY_PROCESS_EXE, unused, 0) ==
                    -ESRCH
                ? -ESRCH
                : read_directory(f, process, dir, "cwd", DIRECTORY);
    if (r == 0)
        r = read_directory(f, process, dir, "root", ROOT);
    if (r == 0)
        r = read_descriptors(f, process, dir);
    if (r == 0 && f->with_mapped)
        r = read_mappings(f, process, dir);
    close(dir);
    return r == -ENOENT ? -ESRCH : r;
}

/* ---- The other end ---------------------------------------------------------------------------- */

static const struct socket_info *socket_of(const struct files *f, const struct file *file) {
    return file->is_socket ? sockets_find(&f->sockets, file->inode) : NULL;
}

/* The inode of the socket that it is connected to, 0: none here. */
static uint64_t peer_of(struct files *f, const struct file *file) {
    const struct socket_info *socket = socket_of(f, file);
    return socket ? sockets_peer(&f->sockets, socket) : 0;
}

/* Can the holder of a pipe do what this end can't? Then it is the other end. */
static bool is_other_end(const struct file *file, const struct holder *holder) {
    if (holder->process == file->process && holder->fd == file->fd)
        return false;
    return (strchr(file->access, 'r') && holder->can_write) ||
           (strchr(file->access, 'w') && holder->can_read);
}

/* Calls back with the processes at the other end, of more than `most` with so many and one. */
static void each_peer(struct files *f, const struct file *file,
                      void (*call)(struct files *f, const struct holder *peer, size_t number),
                      size_t most) {
    const bool is_pipe = file->is_pipe || file->is_fifo;
    const uint64_t inode = is_pipe ? file->inode : peer_of(f, file);
    size_t count = 0, number = 0;
    if (!inode)
        return;
    const struct holder *holder =
        holders_find(&f->holders, is_pipe, file->device, inode, &count);
    for (size_t i = 0; i < count && number <= most; i++)
        if (!is_pipe || is_other_end(file, &holder[i]))
            call(f, &holder[i], number++);
}

/* What the other ends take to be known. */
static int read_others(struct files *f) {
    bool has_peers = false;
    size_t process = SIZE_MAX;
    int r = 0;
    for (size_t i = 0; r == 0 && i < f->count; i++) {
        const struct file *file = &f->items[i];
        char pid[24];
        has_peers |= file->is_pipe || file->is_fifo || file->is_socket;
        if (!file->is_socket || file->process == process)
            continue;
        r = process == SIZE_MAX ? sockets_add(&f->sockets, f->look.procfs, "self") : 0;
        process = file->process;
        snprintf(pid, sizeof(pid), "%ld",
                 (long)tally_snapshot_process(f->look.snapshot, process)->pid);
        if (r != -ENOMEM)
            r = sockets_add(&f->sockets, f->look.procfs, pid);
        if (r != -ENOMEM)
            r = 0; /* it is a socket all the same */
    }
    sockets_sort(&f->sockets);
    return r == 0 && has_peers ? holders_read(&f->holders, &f->look, f->fifos, f->fifo_count)
                               : r;
}

/* ---- As a table --------------------------------------------------------------------------------- */

static void write_peer(struct files *f, const struct holder *peer, size_t number) {
    const struct tally_process *p = tally_snapshot_process(f->look.snapshot, peer->process);
    if (number < PEERS_SHOWN)
        fprintf(f->to, "%s%s[%ld]:%u", number ? ", " : " -> ", p->name, (long)p->pid, peer->fd);
    else
        fputs(", ...", f->to);
}

static void write_file(struct files *f, const struct file *file) {
    const struct socket_info *socket = socket_of(f, file);
    if (!socket || !socket_write(f->to, socket))
        fputs(file->path, f->to);
    if (file->is_deleted)
        fputs(" (deleted)", f->to);
    each_peer(f, file, write_peer, PEERS_SHOWN);
}

static void add_number(struct table *table, bool is_known, uint64_t value) {
    if (is_known)
        table_addf(table, "%" PRIu64, value);
    else
        table_add_text(table, NULL);
}

/* As lsof calls what is no descriptor. */
static const char *instead_of_fd(unsigned fd) {
    return fd == DIRECTORY ? "cwd" : fd == ROOT ? "rtd" : fd == MAPPED ? "mem" : NULL;
}

static void add_row(struct files *f, struct table *table, const struct file *file) {
    const struct tally_process *p = tally_snapshot_process(f->look.snapshot, file->process);
    const struct socket_info *socket = socket_of(f, file);
    table_add_text(table, p->name);
    table_addf(table, "%ld", (long)p->pid);
    table_add_text(table, p->user);
    const char *instead = instead_of_fd(file->fd);
    if (instead)
        table_add_text(table, instead);
    else
        table_addf(table, "%u", file->fd);
    table_add_text(table, socket ? socket_protocol(socket) : file->type);
    table_add_text(table, file->access[0] ? file->access : NULL);
    add_number(table, file->has_position, file->position);
    add_number(table, file->has_size, file->size_bytes);
    rewind(f->to);
    write_file(f, file);
    if (fflush(f->to) == 0)
        table_add(table, f->text, f->text_len);
    else
        table_add_text(table, NULL);
}

static int print_table(struct files *f) {
    static const struct table_column columns[] = {
        {"NAME", false},  {"PID", true},      {"USER", false}, {"FD", true},   {"TYPE", false},
        {"ACCESS", false}, {"POSITION", true}, {"SIZE", true},  {"FILE", false},
    };
    struct table *table;
    int r = table_new(columns, sizeof(columns) / sizeof(columns[0]), &table);
    if (r < 0)
        return r;
    f->to = open_memstream(&f->text, &f->text_len);
    if (!f->to)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < f->count; i++)
        add_row(f, table, &f->items[i]);
    if (f->to)
        fclose(f->to);
    free(f->text);
    if (r == 0)
        r = table_print(table, stdout, table_room(stdout));
    table_free(table);
    return r;
}

/* ---- As JSON ---------------------------------------------------------------------------------------- */

static void json_member(const char *key, const char *text, size_t len) {
    printf(",\"%s\":", key);
    json_string(stdout, text, len);
}

static void json_peer(struct files *f, const struct holder *peer, size_t number) {
    const struct tally_process *p = tally_snapshot_process(f->look.snapshot, peer->process);
    if (number == PEERS_MOST)
        return;
    printf("%s{\"pid\":%ld,\"fd\":%u", number ? "," : "", (long)p->pid, peer->fd);
    json_member("name", p->name, strlen(p->name));
    putchar('}');
}

static void print_json_socket(const struct socket_info *socket) {
    char end[SOCKET_END_SIZE];
    json_member("protocol", socket_protocol(socket), strlen(socket_protocol(socket)));
    json_member("state", socket_state(socket), strlen(socket_state(socket)));
    if (socket->protocol == PROTOCOL_UNIX) {
        if (socket->path_len)
            json_member("path", socket->path, socket->path_len);
        return;
    }
    const char *local = socket_end_text(socket, &socket->local, end);
    json_member("local", local, strlen(local));
    if (!socket->remote.port)
        return;
    const char *remote = socket_end_text(socket, &socket->remote, end);
    json_member("remote", remote, strlen(remote));
}

static void print_json_file(struct files *f, const struct file *file) {
    const struct socket_info *socket = socket_of(f, file);
    if (file->fd == DIRECTORY)
        fputs("{\"cwd\":true", stdout);
    else if (file->fd == ROOT)
        fputs("{\"root\":true", stdout);
    else if (file->fd == MAPPED)
        fputs("{\"mapped\":true", stdout);
    else
        printf("{\"fd\":%u", file->fd);
    json_member("type", file->type, strlen(file->type));
    if (file->access[0])
        json_member("access", file->access, strlen(file->access));
    if (file->has_position)
        printf(",\"position\":%" PRIu64, file->position);
    if (file->has_size)
        printf(",\"size\":%" PRIu64, file->size_bytes);
    if (file->is_pipe || file->is_socket)
        printf(",\"inode\":%" PRIu64, file->inode);
    else
        json_member("path", file->path, strlen(file->path));
    if (file->is_deleted)
        fputs(",\"deleted\":true", stdout);
    if (socket)
        print_json_socket(socket);
    if (file->is_pipe || file->is_fifo || (socket && socket->protocol == PROTOCOL_UNIX) ||
        peer_of(f, file)) {
        fputs(",\"peers\":[", stdout);
        each_peer(f, file, json_peer, PEERS_MOST);
        putchar(']');
    }
    putchar('}');
}

static void print_json(struct files *f) {
    size_t process = SIZE_MAX;
    fputs("{\"processes\":[", stdout);
    for (size_t i = 0; i < f->count; i++) {
        const struct file *file = &f->items[i];
        if (file->process != process) {
            const struct tally_process *p = tally_snapshot_process(f->look.snapshot, file->process);
            const char *group = look_group(&f->look, file->process);
            printf("%s\n{\"pid\":%ld", process == SIZE_MAX ? "" : "]},", (long)p->pid);
            json_member("name", p->name, strlen(p->name));
            if (p->user)
                json_member("user", p->user, strlen(p->user));
            if (group)
                json_member("group", group, strlen(group));
            fputs(",\"files\":[", stdout);
        }
        fputs(file->process != process ? "\n" : ",\n", stdout);
        print_json_file(f, file);
        process = file->process;
    }
    puts(process == SIZE_MAX ? "]}" : "]}\n]}");
}

/* ---- The verb ------------------------------------------------------------------------------------------ */

static const struct cli_flag flags[] = {
    {.name = "mapped", .help = "Also the files that are mapped into memory."},
    {.name = "json", .help = "As JSON, a process with all its files."},
};
static const struct cli_program program = {
    .name = "proctally files",
    .summary = "Shows what processes have open: files, pipes and sockets, and who is at the other "
               "end.",
    .is_verb = true,
    .arguments = "[PID|NAME]...",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
};

/* Does the argument mean this process? */
static bool is_meant(const struct files *f, const char *argument, size_t process) {
    const struct tally_process *p = tally_snapshot_process(f->look.snapshot, process);
    const pid_t pid = cli_parse_pid(argument, strlen(argument));
    return pid ? p->pid == pid : strcmp(p->name, argument) == 0;
}

static bool is_wanted(const struct files *f, size_t process) {
    bool is_wanted = f->cli->argument_count == 0;
    for (size_t i = 0; !is_wanted && i < f->cli->argument_count; i++)
        is_wanted = is_meant(f, f->cli->arguments[i], process);
    return is_wanted;
}

/* Says which arguments mean nobody. */
static int missing(const struct files *f) {
    int status = CLI_DONE;
    for (size_t i = 0; i < f->cli->argument_count; i++) {
        const char *argument = f->cli->arguments[i];
        bool found = false;
        for (size_t k = 0; !found && k < tally_snapshot_processes(f->look.snapshot); k++)
            found = is_meant(f, argument, k);
        if (found)
            continue;
        const bool is_pid = cli_parse_pid(argument, strlen(argument));
        cli_say(f->cli->program, 'E', is_pid ? "there is no process %s" : "there is no process "
                                               "of the name \"%s\"", argument);
        status = CLI_FAILED;
    }
    return status;
}

static int read_all(struct files *f) {
    size_t vms;
    tally_metric_find("memory_vms", &vms);
    int r = 0;
    for (size_t i = 0; r == 0 && i < tally_snapshot_processes(f->look.snapshot); i++) {
        uint64_t bytes;
        /* the kernel's own threads and zombies have nothing open */
        if (!is_wanted(f, i) ||
            (tally_snapshot_process_value(f->look.snapshot, i, vms, &bytes) && bytes == 0))
            continue;
        r = read_process(f, i);
        f->looked_at += r != -ESRCH;
        if (r == -EACCES || r == -EPERM) {
            f->refused++;
            f->error = r;
        }
        if (r == -EACCES || r == -EPERM || r == -ESRCH)
            r = 0;
    }
    return r == 0 ? read_others(f) : r;
}

/* What could not be seen, in one line. */
static int say_refused(const struct files *f) {
    if (f->refused)
        cli_say(f->cli->program, 'W', "%zu of %zu processes could not be looked into: %s",
                f->refused, f->looked_at, strerror(-f->error));
    else if (f->holders.refused)
        cli_say(f->cli->program, 'W',
                "%zu of %zu processes could not be looked into: %s; they may be at the other end",
                f->holders.refused, f->holders.looked_at, strerror(-f->holders.error));
    return f->refused && f->cli->argument_count ? CLI_FAILED : CLI_DONE;
}

static int show(struct files *f) {
    int r = read_all(f);
    if (r == 0 && cli_flag(f->cli, "json"))
        print_json(f);
    else if (r == 0)
        r = print_table(f);
    if (r < 0) {
        cli_say(f->cli->program, 'E', "cannot tell what is open: %s", strerror(-r));
        return CLI_FAILED;
    }
    int status = look_finish_output(f->look.program);
    if (status != CLI_DONE)
        return status;
    status = missing(f);
    const int refused = say_refused(f);
    return status == CLI_DONE ? refused : status;
}

static int files(struct cli *cli) {
    struct files f = {.cli = cli, .with_mapped = cli_flag(cli, "mapped")};
    int status = look_begin(&f.look, cli);
    if (status < 0) {
        look_set(&f.look, "collect", LOOK_AT_LITTLE);
        status = look_at(&f.look, TALLY_KEEP_PROCESSES, true, 0);
    }
    if (status < 0)
        status = show(&f);
    for (size_t i = 0; i < f.count; i++)
        free(f.items[i].path);
    free(f.items);
    for (size_t i = 0; i < f.fifo_count; i++)
        free(f.fifos[i]);
    free(f.fifos);
    sockets_free(&f.sockets);
    holders_free(&f.holders);
    look_end(&f.look);
    return status;
}

const struct verb verb_files = {
    .name = "files",
    .short_help = "list what processes have open",
    .program = &program,
    .main = files,
};
