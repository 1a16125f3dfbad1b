/* SPDX-License-Identifier: MIT */
/*
 * A program with proctally inside, as test_embedding.py builds it. It has functions of its
 * own that are called like some in the core, and
 *
 *     embedder own        calls them, and collects
 *     embedder threads    has threads that encode each snapshot while the next is made
 *     embedder keep       keeps every snapshot, and looks whether they stay as they were
 */
#include <proctally.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static tally *open_collector(unsigned keep) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = keep};
    struct tally_error error = {"out of memory"};
    tally_config *config;
    tally *t;
    if (tally_config_new(&config) < 0 ||
        tally_config_set(config, "source", "procfs", &error) < 0 ||
        tally_config_set(config, "group-by", "name,user", &error) < 0 ||
        tally_config_set(config, "expire-after", "0s", &error) < 0 ||
        tally_new(config, &opts, &t, &error) < 0)
        die(error.text);
    tally_config_free(config);
    return t;
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

int main(int argc, char **argv) {
    if (argc != 2 || call_own() != 6)
        die("wrong functions were called");
    if (strcmp(argv[1], "threads") == 0) {
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
