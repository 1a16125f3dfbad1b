/* SPDX-License-Identifier: MIT */
/* proctally ports: the sockets that have a port, and whose they are. */
#include "holders.h"
#include "json.h"
#include "sockets.h"
#include "table.h"
#include "verb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct ports {
    struct look look;
    struct sockets sockets;
    struct holders holders;
    bool listening, as_json;
};

/* A socket and one of those who have it. */
struct shown {
    const struct socket_info *socket;
    const struct holder *holder; /* NULL: nobody is known to */
};

static const struct tally_process *process_of(const struct ports *p, const struct shown *shown) {
    return shown->holder ? tally_snapshot_process(p->look.snapshot, shown->holder->process) : NULL;
}

/* ---- As a table --------------------------------------------------------------------------- */

static void add_queue(struct table *table, bool is_known, uint32_t value) {
    if (is_known)
        table_addf(table, "%" PRIu32, value);
    else
        table_add_text(table, NULL);
}

static void add_row(struct ports *p, struct table *table, const struct shown *shown) {
    const struct socket_info *s = shown->socket;
    const struct tally_process *process = process_of(p, shown);
    char end[SOCKET_END_SIZE];
    table_add_text(table, socket_protocol(s));
    table_add_text(table, socket_state(s));
    add_queue(table, s->has_receive_queue, s->receive_queue);
    add_queue(table, s->has_send_queue, s->send_queue);
    table_add_text(table, socket_end_text(s, &s->local, end));
    table_add_text(table, socket_end_text(s, &s->remote, end));
    if (!process) {
        table_add_text(table, NULL);
        table_add_text(table, NULL);
        /* who made it is known even so */
        if (s->inode)
            table_addf(table, "%" PRIu32, s->uid);
        else
            table_add_text(table, NULL);
        table_add_text(table, NULL);
        table_add_text(table, NULL);
        return;
    }
    table_addf(table, "%ld", (long)process->pid);
    table_addf(table, "%u", shown->holder->fd);
    table_add_text(table, process->user);
    table_add_text(table, process->name);
    table_add_text(table, look_group(&p->look, shown->holder->process));
}

static int print_table(struct ports *p, const struct shown *shown, size_t count) {
    static const struct table_column columns[] = {
        {"PROTO", false}, {"STATE", false}, {"RECV-Q", true}, {"SEND-Q", true},
        {"LOCAL", false}, {"REMOTE", false}, {"PID", true},   {"FD", true},
        {"USER", false},  {"NAME", false},  {"GROUP", false},
    };
    struct table *table;
    int r = table_new(columns, sizeof(columns) / sizeof(columns[0]), &table);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        add_row(p, table, &shown[i]);
    r = table_print(table, stdout, table_room(stdout));
    table_free(table);
    return r;
}

/* ---- As JSON -------------------------------------------------------------------------------- */

static void json_number_of(const char *key, uint64_t value) {
    printf(",\"%s\":%" PRIu64, key, value);
}

static void json_text_of(const char *key, const char *text) {
    if (!text)
        return;
    printf(",\"%s\":", key);
    json_text(stdout, text);
}

static void print_holders(struct ports *p, const struct shown *shown, size_t count) {
    fputs(",\"processes\":[", stdout);
    for (size_t i = 0; i < count && shown[i].holder; i++) {
        const struct tally_process *process = process_of(p, &shown[i]);
        printf("%s{\"pid\":%ld,\"fd\":%u", i ? "," : "", (long)process->pid, shown[i].holder->fd);
        json_text_of("name", process->name);
        json_text_of("user", process->user);
        json_text_of("group", look_group(&p->look, shown[i].holder->process));
        putchar('}');
    }
    putchar(']');
}

static void print_json(struct ports *p, const struct shown *shown, size_t count) {
    char end[SOCKET_END_SIZE];
    fputs("{\"sockets\":[", stdout);
    for (size_t i = 0, same; i < count; i += same) {
        const struct socket_info *s = shown[i].socket;
        for (same = 1; i + same < count && shown[i + same].socket == s; same++)
            ;
        printf("%s\n{\"protocol\":\"%s\",\"state\":\"%s\"", i ? "," : "", socket_protocol(s),
               socket_state(s));
        if (s->has_receive_queue)
            json_number_of("receive_queue", s->receive_queue);
        if (s->has_send_queue)
            json_number_of("send_queue", s->send_queue);
        json_text_of("local", socket_end_text(s, &s->local, end));
        json_text_of("remote", socket_end_text(s, &s->remote, end));
        if (s->inode) {
            json_number_of("inode", s->inode);
            json_number_of("uid", s->uid);
        }
        print_holders(p, shown + i, same);
        putchar('}');
    }
    fputs("\n]}\n", stdout);
}

/* ---- The verb ---------------------------------------------------------------------------------- */

static int by_port(const void *a, const void *b) {
    const struct shown *x = a, *y = b;
    const struct socket_info *s = x->socket, *o = y->socket;
    const bool is_later = !socket_listens(s), other_is_later = !socket_listens(o);
    if (s->protocol != o->protocol)
        return s->protocol < o->protocol ? -1 : 1;
    if (is_later != other_is_later)
        return is_later - other_is_later;
    if (s->local.port != o->local.port)
        return s->local.port < o->local.port ? -1 : 1;
    if (s != o)
        return s < o ? -1 : 1;
    return x->holder < y->holder ? -1 : 1;
}

/* Also the namespaces of containers, as far as we may see them. */
static int read_sockets(struct ports *p) {
    char pid[24];
    int r = sockets_add(&p->sockets, p->look.procfs, "self");
    for (size_t i = 0; r == 0 && i < tally_snapshot_processes(p->look.snapshot); i++) {
        snprintf(pid, sizeof(pid), "%ld", (long)tally_snapshot_process(p->look.snapshot, i)->pid);
        r = sockets_add(&p->sockets, p->look.procfs, pid);
        if (r == -ENOENT || r == -ESRCH || r == -EINVAL || r == -EACCES)
            r = 0; /* it has ended meanwhile */
    }
    sockets_sort(&p->sockets);
    return r == 0 ? holders_read(&p->holders, &p->look, NULL, 0) : r;
}

/* A row for each of those who have it, or one. */
static int add_shown(struct shown **shown, size_t *size, size_t *count,
                     const struct socket_info *socket, const struct holders *holders) {
    size_t holder_count;
    const struct holder *holder = holders_find(holders, false, 0, socket->inode, &holder_count);
    const size_t rows = holder_count ? holder_count : 1;
    if (*size - *count < rows) {
        const size_t more = 2 * (*count + rows);
        struct shown *grown = realloc(*shown, more * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        *shown = grown;
        *size = more;
    }
    for (size_t i = 0; i < rows; i++)
        (*shown)[(*count)++] = (struct shown){socket, holder ? holder + i : NULL};
    return 0;
}

static int show(struct ports *p) {
    struct shown *shown = NULL;
    size_t size = 0, count = 0;
    int r = read_sockets(p);
    for (size_t i = 0; r == 0 && i < p->sockets.count; i++) {
        const struct socket_info *socket = &p->sockets.items[i];
        if (socket->protocol != PROTOCOL_UNIX && (!p->listening || socket_listens(socket)))
            r = add_shown(&shown, &size, &count, socket, &p->holders);
    }
    if (count)
        qsort(shown, count, sizeof(*shown), by_port);
    if (r == 0 && p->as_json)
        print_json(p, shown, count);
    else if (r == 0)
        r = print_table(p, shown, count);
    free(shown);
    if (r < 0) {
        cli_say(p->look.program, 'E', "cannot tell the sockets: %s", strerror(-r));
        return CLI_FAILED;
    }
    const int status = look_finish_output(p->look.program);
    if (status == CLI_DONE)
        holders_say_refused(&p->holders, &p->look);
    return status;
}

static const struct cli_flag flags[] = {
    {.name = "listening", .help = "Only sockets that wait for connections, or for datagrams from "
                                  "anybody."},
    {.name = "l", .means = "listening", .help = "The same."},
    {.name = "json", .help = "As JSON, a socket with all who have it."},
};
static const struct cli_program program = {
    .name = "proctally ports",
    .summary = "Shows the TCP and UDP sockets and the processes that have them.",
    .is_verb = true,
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
};

static int ports(struct cli *cli) {
    struct ports p = {.listening = cli_flag(cli, "listening"), .as_json = cli_flag(cli, "json")};
    int status = look_begin(&p.look, cli);
    if (status < 0) {
        look_set(&p.look, "collect", LOOK_AT_LITTLE);
        status = look_at(&p.look, TALLY_KEEP_PROCESSES, true, 0);
    }
    if (status < 0)
        status = show(&p);
    sockets_free(&p.sockets);
    holders_free(&p.holders);
    look_end(&p.look);
    return status;
}

const struct verb verb_ports = {
    .name = "ports",
    .short_help = "list the sockets and whose they are",
    .program = &program,
    .main = ports,
};
