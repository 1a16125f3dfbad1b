/* SPDX-License-Identifier: MIT */
#include "sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel's, which no header has together with linux/ ones */
enum { ESTABLISHED = 1, CLOSE = 7, LISTEN = 10 };

static void *grow(void *array, size_t *size, size_t count, size_t element) {
    if (count < *size)
        return array;
    const size_t want = *size ? 2 * *size : 64;
    void *grown = realloc(array, want * element);
    if (grown)
        *size = want;
    return grown;
}

static struct socket_info *add(struct sockets *s) {
    struct socket_info *items = grow(s->items, &s->size, s->count, sizeof(*items));
    if (!items)
        return NULL;
    s->items = items;
    items[s->count] = (struct socket_info){.namespace = s->namespace_count};
    return &items[s->count++];
}

/* A path ends with a NUL byte; an abstract name begins with one, and may hold more of them. */
static void set_path(struct socket_info *to, const char *path, size_t len) {
    if (len && path[0])
        len = strnlen(path, len);
    to->path_len = len < sizeof(to->path) ? len : sizeof(to->path) - 1;
    memcpy(to->path, path, to->path_len);
    for (size_t i = 0; i < to->path_len; i++)
        if (to->path[i] == '\0')
            to->path[i] = '@';
}

/* ---- NETLINK_SOCK_DIAG ------------------------------------------------------------------- */

static int take_inet(struct sockets *s, enum protocol protocol, struct nlmsghdr *message) {
    const struct inet_diag_msg *m = NLMSG_DATA(message);
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
        return -EBADMSG;
    struct socket_info *to = add(s);
    if (!to)
        return -ENOMEM;
    to->protocol = protocol;
    to->is_ipv6 = m->idiag_family == AF_INET6;
    to->state = m->idiag_state;
    to->local.port = ntohs(m->id.idiag_sport);
    to->remote.port = ntohs(m->id.idiag_dport);
    memcpy(to->local.address, m->id.idiag_src, sizeof(to->local.address));
    memcpy(to->remote.address, m->id.idiag_dst, sizeof(to->remote.address));
    to->uid = m->idiag_uid;
    to->receive_queue = m->idiag_rqueue;
    to->send_queue = m->idiag_wqueue;
    to->has_receive_queue = to->has_send_queue = true;
    to->inode = m->idiag_inode;
    return 0;
}

static int take_unix(struct sockets *s, struct nlmsghdr *message) {
    const struct unix_diag_msg *m = NLMSG_DATA(message);
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
        return -EBADMSG;
    struct socket_info *to = add(s);
    if (!to)
        return -ENOMEM;
    to->protocol = PROTOCOL_UNIX;
    to->state = m->udiag_state;
    to->inode = m->udiag_ino;
    const char *text = (const char *)message;
    for (size_t at = NLMSG_LENGTH(sizeof(*m)); at + sizeof(struct rtattr) <= message->nlmsg_len;) {
        const struct rtattr *attribute = (const void *)(text + at);
        if (attribute->rta_len < sizeof(*attribute) || attribute->rta_len > message->nlmsg_len - at)
            return -EBADMSG;
        const size_t len = attribute->rta_len - RTA_LENGTH(0);
        const char *data = text + at + RTA_LENGTH(0);
        at += RTA_ALIGN(attribute->rta_len);
        uint32_t peer;
        struct unix_diag_rqlen queues;
        if (attribute->rta_type == UNIX_DIAG_NAME) {
            set_path(to, data, len);
        } else if (attribute->rta_type == UNIX_DIAG_PEER && len == sizeof(peer)) {
            memcpy(&peer, data, sizeof(peer));
            to->peer = peer;
        } else if (attribute->rta_type == UNIX_DIAG_RQLEN && len == sizeof(queues)) {
            memcpy(&queues, data, sizeof(queues));
            to->receive_queue = queues.udiag_rqueue;
            to->send_queue = queues.udiag_wqueue;
            to->has_receive_queue = to->has_send_queue = true;
        }
    }
    return 0;
}

/* All answers to one request. -ENOENT: the kernel does not know the protocol. */
static int receive(struct sockets *s, int fd, enum protocol protocol) {
    static char answer[32768] __attribute__((aligned(8)));
    for (;;) {
        const ssize_t n = recv(fd, answer, sizeof(answer), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EBADMSG;
        for (size_t at = 0; at + sizeof(struct nlmsghdr) <= (size_t)n;) {
            struct nlmsghdr *m = (void *)(answer + at);
            if (m->nlmsg_len < sizeof(*m) || m->nlmsg_len > (size_t)n - at)
                return -EBADMSG;
            at += NLMSG_ALIGN(m->nlmsg_len);
            const struct nlmsgerr *error = NLMSG_DATA(m);
            if (m->nlmsg_type == NLMSG_DONE)
                return 0;
            if (m->nlmsg_type == NLMSG_ERROR)
                return m->nlmsg_len < NLMSG_LENGTH(sizeof(*error)) || !error->error
                           ? -EBADMSG
                           : error->error;
            if (m->nlmsg_type != SOCK_DIAG_BY_FAMILY)
                continue;
            const int r = protocol == PROTOCOL_UNIX ? take_unix(s, m) : take_inet(s, protocol, m);
            if (r < 0)
                return r;
        }
    }
}

static int ask(int fd, const void *request, size_t len) {
    struct {
        struct nlmsghdr head;
        char body[sizeof(struct inet_diag_req_v2) + 64];
    } message = {.head = {.nlmsg_len = (uint32_t)NLMSG_LENGTH(len),
                          .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
    memcpy(message.body, request, len);
    return send(fd, &message, message.head.nlmsg_len, 0) < 0 ? -errno : 0;
}

static int read_diag(struct sockets *s, int fd) {
    static const struct {
        uint8_t family, number;
        enum protocol protocol;
    } wanted[] = {{AF_INET, IPPROTO_TCP, PROTOCOL_TCP},
                  {AF_INET6, IPPROTO_TCP, PROTOCOL_TCP},
                  {AF_INET, IPPROTO_UDP, PROTOCOL_UDP},
                  {AF_INET6, IPPROTO_UDP, PROTOCOL_UDP}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        const struct inet_diag_req_v2 request = {.sdiag_family = wanted[i].family,
                                                 .sdiag_protocol = wanted[i].number,
                                                 .idiag_states = UINT32_MAX};
        int r = ask(fd, &request, sizeof(request));
        if (r == 0)
            r = receive(s, fd, wanted[i].protocol);
        /* a kernel without IPv6 has no such sockets */
        if (r < 0 && !(wanted[i].family == AF_INET6 && r == -ENOENT))
            return r;
    }
    const struct unix_diag_req request = {
        .sdiag_family = AF_UNIX,
        .udiag_states = UINT32_MAX,
        .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN};
    const int r = ask(fd, &request, sizeof(request));
    return r < 0 ? r : receive(s, fd, PROTOCOL_UNIX);
}

/* A netlink socket belongs to the namespace that it was made in: that of the process. */
static int open_diag(const char *procfs, const char *process, bool is_ours) {
    char path[PATH_MAX];
    int own = -1, theirs = -1, fd = -1, error = 0;
    if (!is_ours) {
        snprintf(path, sizeof(path), "%s/%s/ns/net", procfs, process);
        own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        theirs = open(path, O_RDONLY | O_CLOEXEC);
        if (own < 0 || theirs < 0 || setns(theirs, CLONE_NEWNET) < 0)
            error = -errno;
    }
    if (error == 0) {
        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
        if (fd < 0)
            error = -errno;
    }
    if (!is_ours && error == 0 && setns(own, CLONE_NEWNET) < 0)
        error = -errno;
    if (own >= 0)
        close(own);
    if (theirs >= 0)
        close(theirs);
    if (error < 0 && fd >= 0)
        close(fd);
    return error < 0 ? error : fd;
}

/* ---- net/tcp and so on ---------------------------------------------------------------------- */

/* "0100007F:0050": the address in words as they stand in memory. */
static bool parse_end(const char *text, bool is_ipv6, struct socket_end *ret) {
    const size_t words = is_ipv6 ? 4 : 1;
    if (strlen(text) != 8 * words + 5 || text[8 * words] != ':')
        return false;
    for (size_t i = 0; i < words; i++) {
        char digits[9];
        snprintf(digits, sizeof(digits), "%.8s", text + 8 * i);
        const uint32_t word = (uint32_t)strtoul(digits, NULL, 16);
        memcpy(ret->address + 4 * i, &word, sizeof(word));
    }
    ret->port = (uint16_t)strtoul(text + 8 * words + 1, NULL, 16);
    return true;
}

/* "sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode" */
static int take_inet_line(struct sockets *s, enum protocol protocol, bool is_ipv6, char *line) {
    char *word[10], *rest;
    for (size_t i = 0; i < 10; i++)
        if (!(word[i] = strtok_r(i ? NULL : line, " \n", &rest)))
            return 0;
    struct socket_info found = {
        .protocol = protocol, .is_ipv6 = is_ipv6, .namespace = s->namespace_count};
    if (!parse_end(word[1], is_ipv6, &found.local) || !parse_end(word[2], is_ipv6, &found.remote))
        return 0; /* the head of the table */
    char *colon;
    found.state = (unsigned)strtoul(word[3], NULL, 16);
    found.send_queue = (uint32_t)strtoul(word[4], &colon, 16);
    found.receive_queue = *colon ? (uint32_t)strtoul(colon + 1, NULL, 16) : 0;
    found.has_receive_queue = true;
    found.has_send_queue = found.state != LISTEN; /* how many fit is not told */
    found.uid = (uint32_t)strtoul(word[7], NULL, 10);
    found.inode = strtoull(word[9], NULL, 10);
    struct socket_info *to = add(s);
    if (!to)
        return -ENOMEM;
    *to = found;
    return 0;
}

/* "Num: RefCount Protocol Flags Type St Inode Path" */
static int take_unix_line(struct sockets *s, char *line) {
    char *word[7], *rest;
    for (size_t i = 0; i < 7; i++)
        if (!(word[i] = strtok_r(i ? NULL : line, " \n", &rest)))
            return 0;
    char *end;
    const uint64_t inode = strtoull(word[6], &end, 10);
    if (*end)
        return 0;
    struct socket_info *to = add(s);
    if (!to)
        return -ENOMEM;
    to->protocol = PROTOCOL_UNIX;
    to->inode = inode;
    /* SS_CONNECTED, or one that takes connections (__SO_ACCEPTCON) */
    to->state = strtoul(word[3], NULL, 16) & 0x10000 ? LISTEN
                : strtoul(word[5], NULL, 16) == 3    ? ESTABLISHED
                                                     : CLOSE;
    rest[strcspn(rest, "\n")] = '\0';
    set_path(to, rest, strlen(rest));
    return 0;
}

static int read_files(struct sockets *s, const char *procfs, const char *process) {
    static const struct {
        const char *name;
        enum protocol protocol;
        bool is_ipv6;
    } files[] = {{"tcp", PROTOCOL_TCP, false},
                 {"tcp6", PROTOCOL_TCP, true},
                 {"udp", PROTOCOL_UDP, false},
                 {"udp6", PROTOCOL_UDP, true},
                 {"unix", PROTOCOL_UNIX, false}};
    char path[PATH_MAX], *line = NULL;
    size_t size = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s/net/%s", procfs, process, files[i].name);
        FILE *file = fopen(path, "re");
        if (!file && errno == ENOENT && files[i].is_ipv6)
            continue; /* a kernel without IPv6 */
        if (!file) {
            r = -errno;
            break;
        }
        while (r == 0 && getline(&line, &size, file) >= 0)
            r = files[i].protocol == PROTOCOL_UNIX
                    ? take_unix_line(s, line)
                    : take_inet_line(s, files[i].protocol, files[i].is_ipv6, line);
        fclose(file);
    }
    free(line);
    return r;
}

/* ---- All ------------------------------------------------------------------------------------------ */

/* The number of a process's network namespace; 0: it can't be told. */
static uint64_t namespace_of(const char *procfs, const char *process) {
    char path[PATH_MAX];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s/ns/net", procfs, process);
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

int sockets_add(struct sockets *s, const char *procfs, const char *process) {
    const uint64_t number = namespace_of(procfs, process);
    const bool is_ours = number ? number == namespace_of("/proc", "self")
                                : strcmp(procfs, "/proc") == 0 && strcmp(process, "self") == 0;
    if (number == 0 && strcmp(process, "self") != 0)
        return 0;
    for (size_t i = 0; i < s->namespace_count; i++)
        if (s->namespaces[i] == number)
            return 0;
    uint64_t *namespaces =
        grow(s->namespaces, &s->namespace_size, s->namespace_count, sizeof(*namespaces));
    if (!namespaces)
        return -ENOMEM;
    s->namespaces = namespaces;
    namespaces[s->namespace_count++] = number;

    const size_t before = s->count;
    const int fd = number || is_ours ? open_diag(procfs, process, is_ours) : -ENOENT;
    int r = fd < 0 ? fd : read_diag(s, fd);
    if (fd >= 0)
        close(fd);
    if (r < 0 && r != -ENOMEM) {
        s->count = before;
        r = read_files(s, procfs, process);
    }
    return r;
}

static int by_inode(const void *a, const void *b) {
    const struct socket_info *x = a, *y = b;
    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

void sockets_sort(struct sockets *s) {
    if (s->count)
        qsort(s->items, s->count, sizeof(*s->items), by_inode);
}

void sockets_free(struct sockets *s) {
    free(s->items);
    free(s->by_ends);
    free(s->namespaces);
    *s = (struct sockets){0};
}

const struct socket_info *sockets_find(const struct sockets *s, uint64_t inode) {
    const struct socket_info key = {.inode = inode};
    return s->count && inode ? bsearch(&key, s->items, s->count, sizeof(key), by_inode) : NULL;
}

/* ---- The other end ----------------------------------------------------------------------------------- */

/* Sockets of IPv6 talk to those of IPv4, too. */
static struct socket_end as_ipv6(const struct socket_info *socket, const struct socket_end *end) {
    struct socket_end mapped = {.address = {[10] = 0xff, [11] = 0xff}, .port = end->port};
    if (socket->is_ipv6)
        return *end;
    memcpy(mapped.address + 12, end->address, 4);
    return mapped;
}

static int compare_end(const struct socket_info *a, const struct socket_end *end_of_a,
                       const struct socket_info *b, const struct socket_end *end_of_b) {
    const struct socket_end x = as_ipv6(a, end_of_a), y = as_ipv6(b, end_of_b);
    return x.port != y.port ? x.port - y.port : memcmp(x.address, y.address, sizeof(x.address));
}

/* `crossed`: as if b were seen from its other end. */
static int compare_ends(const struct socket_info *a, const struct socket_info *b, bool crossed) {
    if (a->protocol != b->protocol)
        return (int)a->protocol - (int)b->protocol;
    if (a->namespace != b->namespace)
        return a->namespace < b->namespace ? -1 : 1;
    const int local = compare_end(a, &a->local, b, crossed ? &b->remote : &b->local);
    return local ? local : compare_end(a, &a->remote, b, crossed ? &b->local : &b->remote);
}

static int by_ends(const void *a, const void *b) {
    return compare_ends(*(const struct socket_info *const *)a,
                        *(const struct socket_info *const *)b, false);
}

static int against_other_end(const void *key, const void *item) {
    const int r = compare_ends(*(const struct socket_info *const *)item, key, true);
    return (r < 0) - (r > 0);
}

uint64_t sockets_peer(struct sockets *s, const struct socket_info *socket) {
    if (socket->protocol == PROTOCOL_UNIX || !socket->remote.port)
        return socket->peer;
    if (!s->by_ends) {
        s->by_ends = malloc(s->count * sizeof(*s->by_ends));
        if (!s->by_ends)
            return 0;
        for (size_t i = 0; i < s->count; i++)
            s->by_ends[i] = &s->items[i];
        qsort(s->by_ends, s->count, sizeof(*s->by_ends), by_ends);
    }
    const struct socket_info *const *found =
        bsearch(socket, s->by_ends, s->count, sizeof(*s->by_ends), against_other_end);
    return found && *found != socket ? (*found)->inode : 0;
}

/* ---- As text ----------------------------------------------------------------------------------------- */

const char *socket_protocol(const struct socket_info *socket) {
    switch (socket->protocol) {
    case PROTOCOL_TCP:
        return socket->is_ipv6 ? "tcp6" : "tcp";
    case PROTOCOL_UDP:
        return socket->is_ipv6 ? "udp6" : "udp";
    case PROTOCOL_UNIX:
        return "unix";
    }
    return "";
}

const char *socket_state(const struct socket_info *socket) {
    static const char *const names[] = {"UNKNOWN",    "ESTAB",     "SYN-SENT", "SYN-RECV",
                                        "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "UNCONN",
                                        "CLOSE-WAIT", "LAST-ACK",  "LISTEN",   "CLOSING",
                                        "SYN-RECV"};
    return socket->state < sizeof(names) / sizeof(names[0]) ? names[socket->state] : "UNKNOWN";
}

bool socket_listens(const struct socket_info *socket) {
    return socket->state == (socket->protocol == PROTOCOL_UDP ? CLOSE : LISTEN);
}

const char *socket_end_text(const struct socket_info *socket, const struct socket_end *end,
                            char ret[SOCKET_END_SIZE]) {
    char address[INET6_ADDRSTRLEN] = "", port[8] = "*";
    inet_ntop(socket->is_ipv6 ? AF_INET6 : AF_INET, end->address, address, sizeof(address));
    if (end->port)
        snprintf(port, sizeof(port), "%u", end->port);
    snprintf(ret, SOCKET_END_SIZE, socket->is_ipv6 ? "[%s]:%s" : "%s:%s", address, port);
    return ret;
}

bool socket_write(FILE *to, const struct socket_info *socket) {
    char local[SOCKET_END_SIZE], remote[SOCKET_END_SIZE];
    if (socket->protocol != PROTOCOL_UNIX) {
        fputs(socket_end_text(socket, &socket->local, local), to);
        if (socket->remote.port)
            fprintf(to, " -> %s", socket_end_text(socket, &socket->remote, remote));
        fprintf(to, " %s", socket_state(socket));
        return true;
    }
    if (socket->path_len)
        fwrite(socket->path, 1, socket->path_len, to);
    if (socket->path_len && socket_listens(socket))
        fprintf(to, " %s", socket_state(socket));
    return socket->path_len > 0;
}
