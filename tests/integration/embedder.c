/* SPDX-License-Identifier: MIT */
/*
 * A program with proctally inside, as test_embedding.py builds it. It has functions of its
 * own that are called like some in the core, and
 *
 *     embedder own        calls them, and collects
 *     embedder threads    has threads that encode each snapshot while the next is made
 *     embedder keep       keeps every snapshot, and looks whether they stay as they were
 *     embedder follow SOURCE
 *                         follows a tree of processes that burn, beside others; prints what
 *                         they used as wait4(2) says, and what was found, in microseconds
 *     embedder nobody SOURCE
 *                         follows a process that is gone
 *     embedder group SOURCE
 *                         has a grouper; prints what that is told of a process that comes
 *                         and goes between two collections
 *     embedder nothing …  is such a process
 */
#define _GNU_SOURCE
#include <proctally.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef CORE_IS_VISIBLE /* where the core's own sources are built in, as they are */
int buf_init(void), parse_stat(const char *text), config_set(int a, int b);
int buf_init(void) {
    return 1;
}
int parse_stat(const char *text) {
    return (int)strlen(text);
}
int config_set(int a, int b) {
    return a + b;
}
static int call_own(void) {
    return buf_init() + parse_stat("two") + config_set(1, 1);
}
#else
static int call_own(void) {
    return 6;
}
#endif

static void die(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static tally *open_with(const char *source, const char *expire_after,
                        const struct tally_new_opts *opts) {
    struct tally_error error = {"out of memory"};
    tally_config *config;
    tally *t;
    if (tally_config_new(&config) < 0 ||
        tally_config_set(config, "source", source, &error) < 0 ||
        tally_config_set(config, "group-by", "name,user", &error) < 0 ||
        tally_config_set(config, "expire-after", expire_after, &error) < 0 ||
        tally_new(config, opts, &t, &error) < 0)
        die(error.text);
    tally_config_free(config);
    return t;
}

static tally *open_collector(unsigned keep) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = keep};
    return open_with("procfs", "0s", &opts);
}

static const tally_snapshot *collect(tally *t) {
    const tally_snapshot *s;
    if (tally_collect(t, &s) < 0)
        die("cannot collect");
    return s;
}

/* ---- Threads ------------------------------------------------------------------------ */

#define READERS 4
#define ROUNDS 40
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const tally_snapshot *latest; /* with a reference */
static int is_over;

static const tally_snapshot *get_latest(void) {
    pthread_mutex_lock(&mutex);
    const tally_snapshot *s = latest && !is_over ? tally_snapshot_ref(latest) : NULL;
    pthread_mutex_unlock(&mutex);
    return s;
}

static void *encode_all(void *data) {
    const tally_snapshot *s;
    tally_text *room;
    size_t *encoded = data;
    if (tally_text_new(&room) < 0)
        die("out of memory");
    while ((s = get_latest())) {
        const char *text;
        size_t len;
        if (tally_encode_prometheus(s, room, &text, &len) < 0 || !strstr(text, "groupname=\""))
            die("cannot encode");
        if (tally_encode_influx(s, room, &text, &len) < 0)
            die("cannot encode");
        for (size_t i = 0; i < tally_snapshot_processes(s); i++)
            if (!tally_snapshot_process(s, i)->name[0])
                die("a process without a name");
        ++*encoded;
        tally_snapshot_unref(s);
    }
    tally_text_free(room);
    return NULL;
}

static void read_in_threads(void) {
    pthread_t readers[READERS];
    size_t encoded[READERS] = {0}, all = 0;
    tally *t = open_collector(TALLY_KEEP_PROCESSES | TALLY_KEEP_HOST);
    latest = tally_snapshot_ref(collect(t));
    for (size_t i = 0; i < READERS; i++)
        if (pthread_create(&readers[i], NULL, encode_all, &encoded[i]) != 0)
            die("no threads");
    for (int round = 0; round < ROUNDS; round++) {
        const tally_snapshot *s = tally_snapshot_ref(collect(t)), *before;
        pthread_mutex_lock(&mutex);
        before = latest;
        latest = s;
        is_over = round == ROUNDS - 1;
        pthread_mutex_unlock(&mutex);
        tally_snapshot_unref(before);
    }
    tally_free(t); /* what the readers hold does not go with it */
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
        all += encoded[i];
    }
    tally_snapshot_unref(latest);
    printf("%zu snapshots encoded\n", all);
}

/* ---- Keeping -------------------------------------------------------------------------- */

static void keep_all(void) {
    const tally_snapshot *kept[ROUNDS];
    char *texts[ROUNDS];
    const char *text;
    size_t len;
    tally_text *room;
    tally *t = open_collector(0);
    if (tally_text_new(&room) < 0)
        die("out of memory");
    for (int i = 0; i < ROUNDS; i++) {
        kept[i] = tally_snapshot_ref(collect(t));
        if (tally_encode_influx(kept[i], room, &text, &len) < 0)
            die("cannot encode");
        texts[i] = strdup(text);
    }
    tally_free(t);
    for (int i = 0; i < ROUNDS; i++) {
        if (tally_encode_influx(kept[i], room, &text, &len) < 0 || strcmp(text, texts[i]) != 0)
            die("a snapshot is not as it was");
        free(texts[i]);
        tally_snapshot_unref(kept[i]);
    }
    tally_text_free(room);
    puts("all as they were");
}

/* ---- Following ------------------------------------------------------------------------ */

static long long us_of(const struct rusage *u) {
    return (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000LL + u->ru_utime.tv_usec +
           u->ru_stime.tv_usec;
}

static void burn(long ms) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    const long long end = us_of(&u) + ms * 1000LL;
    do
        getrusage(RUSAGE_SELF, &u);
    while (us_of(&u) < end);
}

static pid_t fork_or_die(void) {
    pid_t pid = fork();
    if (pid < 0)
        die("cannot fork");
    return pid;
}

static void burn_in_short_ones(int count) {
    for (int i = 0; i < count; i++) {
        pid_t pid = fork_or_die();
        if (pid == 0) {
            burn(2);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
}

/* How long the daemon's parent is there: source procfs has to see it. */
static long between_ms;

/* Goes on when its parent has ended, in a session of its own, and has children too. */
static void leave_a_daemon(int status) {
    pid_t between = fork_or_die();
    if (between > 0) {
        waitpid(between, NULL, 0);
        return;
    }
    if (fork_or_die() > 0) {
        burn(between_ms);
        _exit(0);
    }
    setsid();
    burn(300);
    burn_in_short_ones(50);
    burn(300);
    _exit(status);
}

/* Begins when the other end of the pipe is closed. */
static pid_t start_tree(int go[2], int status) {
    pid_t pid = fork_or_die();
    char byte;
    if (pid > 0)
        return pid;
    close(go[1]);
    if (read(go[0], &byte, 1) != 0)
        _exit(1);
    leave_a_daemon(status);
    burn_in_short_ones(100);
    burn(100);
    _exit(status);
}

static long long cpu_us_in(const tally_snapshot *s) {
    static const char *const parts[] = {"cpu_user", "cpu_system"};
    long long sum = 0;
    size_t metric;
    uint64_t ns;
    for (size_t g = 0; g < tally_snapshot_groups(s); g++)
        for (int i = 0; i < 2; i++)
            if (tally_metric_find(parts[i], &metric) == 0 &&
                tally_snapshot_value(s, g, metric, &ns))
                sum += (long long)(ns / 1000);
    return sum;
}

static void nap(long ms) {
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Two trees of the same kind, of which one is followed. Both, and what they leave behind,
 * are reaped here. */
static void follow(const char *source) {
    enum { FOLLOWED = 10, BESIDE = 11 };
    long long used = 0, beside = 0, found = 0;
    int go[2];
    between_ms = strcmp(source, "procfs") == 0 ? 200 : 2;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (pipe(go) < 0)
        die("no pipe");
    pid_t root = start_tree(go, FOLLOWED);
    start_tree(go, BESIDE);
    close(go[0]);
    const struct tally_new_opts opts = {.size = sizeof(opts), .follow = &root, .follow_count = 1};
    tally *t = open_with(source, "1h", &opts);
    close(go[1]);
    for (int left = 4; left > 0;) {
        struct rusage u;
        int status;
        pid_t pid = wait4(-1, &status, WNOHANG, &u);
        if (pid < 0 || (pid > 0 && !WIFEXITED(status)))
            die("a tree came to harm");
        if (pid > 0) {
            left--;
            if (WEXITSTATUS(status) == FOLLOWED)
                used += us_of(&u);
            else if (WEXITSTATUS(status) == BESIDE)
                beside += us_of(&u);
            else
                die("a tree came to harm");
            continue;
        }
        nap(20);
        collect(t);
    }
    for (int i = 0; i < 8; i++) { /* the last figures of source bpf come a little later */
        nap(500);
        found = cpu_us_in(collect(t));
    }
    printf("{\"used\": %lld, \"beside\": %lld, \"found\": %lld}\n", used, beside, found);
    tally_free(t);
}

static void follow_nobody(const char *source) {
    pid_t pid = fork_or_die();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    const struct tally_new_opts opts = {.size = sizeof(opts), .follow = &pid, .follow_count = 1};
    open_with(source, "1h", &opts);
    die("a process was followed that is gone");
}

/* ---- Grouping --------------------------------------------------------------------------- */

#define MARK "a mark"
static char told[8192];

static void print_bytes(char **to, const char *key, const char *bytes, size_t len) {
    *to += sprintf(*to, "\"%s\": \"", key);
    for (size_t i = 0; i < len && i < 1000; i++)
        *to += sprintf(*to, "%c", bytes[i] ? bytes[i] : ' ');
    *to += sprintf(*to, "\", ");
}

static size_t group_by_mark(void *data, const struct tally_process_view *p, char *name,
                            size_t size) {
    static const char group[] = "marked";
    char *to = data;
    if (size < sizeof(group) ||
        !memmem(p->cmdline, p->cmdline_len, "\0" MARK, sizeof(MARK)))
        return 0;
    to += sprintf(to, "{\"pid\": %d, \"ppid\": %d, \"uid\": %u, ", (int)p->pid, (int)p->ppid,
                  (unsigned)p->uid);
    print_bytes(&to, "name", p->name, strlen(p->name));
    print_bytes(&to, "user", p->user, strlen(p->user));
    print_bytes(&to, "exe", p->exe, strlen(p->exe));
    print_bytes(&to, "cgroup", p->cgroup, strlen(p->cgroup));
    print_bytes(&to, "cmdline", p->cmdline, p->cmdline_len);
    memcpy(name, group, sizeof(group) - 1);
    return sizeof(group) - 1;
}

static void group(const char *source, char *program) {
    const struct tally_new_opts opts = {
        .size = sizeof(opts), .grouper = group_by_mark, .grouper_data = told};
    tally *t = open_with(source, "1h", &opts);
    collect(t);
    pid_t pid = fork_or_die();
    if (pid == 0) {
        execl(program, program, "nothing", MARK, (char *)NULL);
        _exit(1);
    }
    int status;
    if (waitpid(pid, &status, 0) < 0 || status != 0)
        die("the child came to harm");
    for (int i = 0; i < 50; i++) {
        const tally_snapshot *s = collect(t);
        size_t starts;
        uint64_t count;
        if (tally_metric_find("starts", &starts) < 0)
            die("no starts");
        for (size_t g = 0; told[0] && g < tally_snapshot_groups(s); g++)
            if (strcmp(tally_snapshot_group_name(s, g), "marked") == 0 &&
                tally_snapshot_value(s, g, starts, &count)) {
                printf("%s\"starts\": %d}\n", told, (int)count);
                tally_free(t);
                return;
            }
        nap(100);
    }
    die("the grouper was not asked");
}

int main(int argc, char **argv) {
    if (argc < 2 || call_own() != 6)
        die("wrong functions were called");
    if (strcmp(argv[1], "nothing") == 0)
        return 0;
    if (argc == 3 && strcmp(argv[1], "follow") == 0) {
        follow(argv[2]);
    } else if (argc == 3 && strcmp(argv[1], "nobody") == 0) {
        follow_nobody(argv[2]);
    } else if (argc == 3 && strcmp(argv[1], "group") == 0) {
        group(argv[2], argv[0]);
    } else if (strcmp(argv[1], "threads") == 0) {
        read_in_threads();
    } else if (strcmp(argv[1], "keep") == 0) {
        keep_all();
    } else {
        tally *t = open_collector(0);
        printf("%zu groups\n", tally_snapshot_groups(collect(t)));
        tally_free(t);
    }
    return 0;
}
