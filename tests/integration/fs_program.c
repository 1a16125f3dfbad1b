/* SPDX-License-Identifier: MIT */
/*
 * A program that shows itself, as test_fs_library.py tells it to: a command a line, of words
 * (a '+' in one is a blank), and an answer a line, which begins with what the library returned.
 */
#include <proctally_fs.h>

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WORDS 8
#define THREADS 4

static tally_fs *fs;
static char *words[WORDS];

/* Values by name; one that is removed is freed at once, so that a sanitizer sees who still
 * reads it. */
static struct value {
    struct value *next;
    char name[64];
    uint64_t *u64;
    tally_fs_series *series;
} *values;

static struct value *value_of(const char *name) {
    for (struct value *v = values; v; v = v->next)
        if (strcmp(v->name, name) == 0)
            return v;
    return NULL;
}

static struct value *new_value(const char *name) {
    struct value *v = calloc(1, sizeof(*v));
    snprintf(v->name, sizeof(v->name), "%s", name);
    v->next = values;
    values = v;
    return v;
}

static void free_value(struct value *v) {
    struct value **at = &values;
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    free(v->u64);
    tally_fs_series_free(v->series);
    free(v);
}

/* "/" is the root. */
static tally_fs_item item(const char *path) {
    tally_fs_item found = TALLY_FS_ROOT;
    if (strcmp(path, "/") == 0)
        return found;
    found = 0;
    tally_fs_find(fs, TALLY_FS_ROOT, path, &found);
    return found;
}

static uint64_t number(const char *text) {
    return text ? strtoull(text, NULL, 10) : 0;
}

static ssize_t xs(void *data, char *to, size_t room) {
    const size_t len = *(const size_t *)data;
    if (room)
        memset(to, 'x', len < room ? len : room - 1);
    return (ssize_t)len;
}

static int comes_back;
static ssize_t come_back(void *data, char *to, size_t room) {
    (void)data;
    comes_back = tally_fs_remove_path(fs, TALLY_FS_ROOT, "back");
    return snprintf(to, room, "%d\n", comes_back);
}

static char written[100];
static int keep(void *data, const char *text, size_t len) {
    (void)data;
    if (len >= sizeof(written))
        return -E2BIG;
    memcpy(written, text, len + 1);
    return 0;
}
static ssize_t kept(void *data, char *to, size_t room) {
    (void)data;
    return snprintf(to, room, "<%s>\n", written);
}

/* ---- Many threads ------------------------------------------------------------------ */

static int enough;
static uint64_t counter;
static tally_fs_series *shared;

static void *add_on(void *data) {
    uint64_t *times = data;
    while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
        tally_fs_count(&counter, 1);
        tally_fs_series_add(shared, 7);
        ++*times;
    }
    return NULL;
}

/* Takes its time: whoever does not wait for it frees what it is about to read. */
static ssize_t format_u64(void *data, char *to, size_t room) {
    usleep(200);
    return snprintf(to, room, "%llu\n",
                    (unsigned long long)__atomic_load_n((uint64_t *)data, __ATOMIC_RELAXED));
}

/* Registers, removes and frees. */
static void *churn(void *data) {
    const long me = (long)data;
    while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
        char name[20], nested[20];
        const struct tally_fs_calls calls = {sizeof(calls), format_u64, NULL, calloc(1, 8)};
        uint64_t *mine = calloc(1, sizeof(*mine));
        tally_fs_series *series = NULL;
        tally_fs_item directory = 0, text = 0;
        snprintf(name, sizeof(name), "churn%ld", me);
        snprintf(nested, sizeof(nested), "nested%ld", me);
        int r = tally_fs_add_u64(fs, TALLY_FS_ROOT, name, mine, NULL, NULL);
        r = r ? r : tally_fs_add_directory(fs, TALLY_FS_ROOT, nested, "nested", &directory);
        r = r ? r : tally_fs_series_new(NULL, &series);
        r = r ? r : tally_fs_add_series(fs, directory, "series", series, NULL, NULL);
        r = r ? r : tally_fs_add_calls(fs, directory, "call", &calls, NULL, NULL);
        r = r ? r : tally_fs_add_text(fs, directory, "text", "text", NULL, &text);
        for (uint64_t i = 0; r == 0 && i < 200; i++) {
            tally_fs_count(mine, 1);
            tally_fs_series_add(series, i);
            if (i % 50 == 0)
                r = tally_fs_set_text(fs, text, i % 100 ? "a" : "much longer");
        }
        usleep(5000); /* readers find it, and some are reading when it goes */
        r = r ? r : tally_fs_remove_path(fs, TALLY_FS_ROOT, name);
        free(mine);
        r = r ? r : tally_fs_remove(fs, directory);
        tally_fs_series_free(series);
        free(calls.data);
        if (r < 0) {
            fprintf(stderr, "churn: %s\n", strerror(-r));
            abort();
        }
    }
    return NULL;
}

static int many_threads(double seconds, int churning) {
    pthread_t adding[THREADS], churning_threads[THREADS];
    uint64_t times[THREADS] = {0}, total = 0;
    const struct tally_fs_histogram histogram = {.size = sizeof(histogram)};
    int r = tally_fs_series_new(&histogram, &shared);
    r = r ? r : tally_fs_add_u64(fs, TALLY_FS_ROOT, "counter", &counter, NULL, NULL);
    r = r ? r : tally_fs_add_series(fs, TALLY_FS_ROOT, "shared", shared, NULL, NULL);
    if (r < 0)
        return r;
    enough = 0;
    for (long i = 0; i < THREADS; i++) {
        pthread_create(&adding[i], NULL, add_on, &times[i]);
        if (churning)
            pthread_create(&churning_threads[i], NULL, churn, (void *)i);
    }
    printf("running\n");
    fflush(stdout);
    usleep((useconds_t)(seconds * 1e6));
    __atomic_store_n(&enough, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(adding[i], NULL);
        if (churning)
            pthread_join(churning_threads[i], NULL);
        total += times[i];
    }
    printf("%llu ", (unsigned long long)total);
    return total == counter ? 0 : -EIO;
}

static void *do_jobs(void *data) {
    uint64_t *pair = data;
    while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
        tally_fs_count(&pair[0], 1);
        tally_fs_count(&pair[1], 1);
    }
    return NULL;
}

static int jobs(uint64_t *pair, double seconds) {
    pthread_t thread;
    enough = 0;
    pthread_create(&thread, NULL, do_jobs, pair);
    printf("running\n");
    fflush(stdout);
    usleep((useconds_t)(seconds * 1e6));
    __atomic_store_n(&enough, 1, __ATOMIC_RELAXED);
    return -pthread_join(thread, NULL);
}

/* ---- Commands ------------------------------------------------------------------------ */

static int serve_until_input(void) {
    for (;;) {
        struct pollfd fds[] = {{.fd = tally_fs_fd(fs), .events = POLLIN},
                               {.fd = 0, .events = POLLIN}};
        if (poll(fds, 2, tally_fs_timeout_ms(fs)) < 0)
            return -errno;
        if (fds[1].revents)
            return 0;
        int r = tally_fs_serve(fs);
        if (r != 0)
            return r;
    }
}

static int obey(void) {
    const char *word = words[0];
    static size_t lengths[100];
    static size_t calls;
    if (strcmp(word, "new") == 0) {
        const struct tally_fs_options options = {sizeof(options), words[1], "prog",
                                                 words[2] && strcmp(words[2], "others") == 0};
        struct tally_error error = {""};
        int r = tally_fs_new(&options, &fs, &error);
        if (r < 0)
            printf("%s ", error.text);
        return r;
    }
    if (strcmp(word, "start") == 0)
        return tally_fs_start(fs);
    if (strcmp(word, "stop") == 0)
        return tally_fs_stop(fs);
    if (strcmp(word, "loop") == 0) {
        printf("running\n");
        fflush(stdout);
        return serve_until_input();
    }
    if (strcmp(word, "free") == 0) {
        fs = tally_fs_free(fs);
        return 0;
    }
    if (strcmp(word, "u64") == 0) {
        struct value *v = new_value(words[2]);
        v->u64 = malloc(sizeof(uint64_t));
        *v->u64 = number(words[3]);
        const struct tally_fs_about about = {sizeof(about), TALLY_KIND_COUNTER,
                                             words[4] ? words[4] : "Help", words[5], 0};
        int r = tally_fs_add_u64(fs, item(words[1]), words[2], v->u64, &about, NULL);
        if (r < 0)
            free_value(v);
        return r;
    }
    if (strcmp(word, "set") == 0) {
        __atomic_store_n(value_of(words[1])->u64, number(words[2]), __ATOMIC_RELAXED);
        return 0;
    }
    if (strcmp(word, "get") == 0) {
        printf("%llu ",
               (unsigned long long)__atomic_load_n(value_of(words[1])->u64, __ATOMIC_RELAXED));
        return 0;
    }
    if (strcmp(word, "param") == 0) {
        struct value *v = new_value(words[1]);
        v->u64 = malloc(sizeof(uint64_t));
        *v->u64 = number(words[2]);
        return tally_fs_add_parameter_u64(fs, TALLY_FS_ROOT, words[1], v->u64, number(words[3]),
                                          number(words[4]), NULL, NULL);
    }
    if (strcmp(word, "dir") == 0)
        return tally_fs_add_directory(fs, item(words[1]), words[2], words[3], NULL);
    if (strcmp(word, "text") == 0)
        return tally_fs_add_text(fs, item(words[1]), words[2], words[3] ? words[3] : "", NULL,
                                 NULL);
    if (strcmp(word, "long") == 0) {
        const size_t len = number(words[2]);
        char *text = malloc(len + 1);
        memset(text, 'y', len);
        text[len] = '\0';
        int r = tally_fs_add_text(fs, TALLY_FS_ROOT, words[1], text, NULL, NULL);
        free(text);
        return r;
    }
    if (strcmp(word, "pair") == 0) {
        struct value *v = new_value(words[1]);
        v->u64 = calloc(2, sizeof(uint64_t));
        v->u64[0] = number(words[2]);
        v->u64[1] = number(words[3]);
        return tally_fs_add_pair_u64(fs, TALLY_FS_ROOT, words[1], v->u64, v->u64 + 1, NULL, NULL);
    }
    if (strcmp(word, "jobs") == 0)
        return jobs(value_of(words[1])->u64, number(words[2]) / 10.0);
    if (strcmp(word, "real") == 0) {
        static double real;
        real = number(words[2]) / 10.0;
        return tally_fs_add_double(fs, TALLY_FS_ROOT, words[1], &real, NULL, NULL);
    }
    if (strcmp(word, "call") == 0) {
        const struct tally_fs_calls c = {sizeof(c), xs, NULL, &lengths[calls]};
        lengths[calls++] = number(words[2]);
        return tally_fs_add_calls(fs, TALLY_FS_ROOT, words[1], &c, NULL, NULL);
    }
    if (strcmp(word, "keep") == 0) {
        const struct tally_fs_calls c = {sizeof(c), kept, keep, NULL};
        return tally_fs_add_calls(fs, TALLY_FS_ROOT, words[1], &c, NULL, NULL);
    }
    if (strcmp(word, "back") == 0) {
        const struct tally_fs_calls c = {sizeof(c), come_back, NULL, NULL};
        return tally_fs_add_calls(fs, TALLY_FS_ROOT, "back", &c, NULL, NULL);
    }
    if (strcmp(word, "series") == 0) {
        struct value *v = new_value(words[2]);
        const struct tally_fs_histogram histogram = {sizeof(histogram), words[3], NULL, 0};
        int r = tally_fs_series_new(words[3] ? &histogram : NULL, &v->series);
        const struct tally_fs_about about = {sizeof(about), TALLY_KIND_GAUGE, "Help", NULL, 0};
        return r ? r : tally_fs_add_series(fs, item(words[1]), words[2], v->series, &about, NULL);
    }
    if (strcmp(word, "add") == 0) {
        for (uint64_t i = 0; i < number(words[3] ? words[3] : "1"); i++)
            tally_fs_series_add(value_of(words[1])->series, number(words[2]));
        return 0;
    }
    if (strcmp(word, "interval") == 0)
        return tally_fs_set_reset_interval(fs, item(words[1]), (uint32_t)number(words[2]));
    if (strcmp(word, "remove") == 0) {
        int r = tally_fs_remove_path(fs, TALLY_FS_ROOT, words[1]);
        const char *slash = strrchr(words[1], '/');
        struct value *v = value_of(slash ? slash + 1 : words[1]);
        if (r == 0 && v)
            free_value(v);
        return r;
    }
    if (strcmp(word, "clear") == 0)
        return tally_fs_remove_children(fs, item(words[1]));
    if (strcmp(word, "fill") == 0) { /* DIRECTORY FROM TO */
        static uint64_t all;
        int r = 0;
        for (uint64_t i = number(words[2]); r == 0 && i < number(words[3]); i++) {
            char name[32];
            snprintf(name, sizeof(name), "f%05llu", (unsigned long long)i);
            r = tally_fs_add_u64(fs, item(words[1]), name, &all, NULL, NULL);
        }
        return r;
    }
    if (strcmp(word, "empty") == 0) { /* DIRECTORY FROM TO */
        int r = 0;
        for (uint64_t i = number(words[2]); r == 0 && i < number(words[3]); i++) {
            char path[64];
            snprintf(path, sizeof(path), "%s/f%05llu", words[1], (unsigned long long)i);
            r = tally_fs_remove_path(fs, TALLY_FS_ROOT, path);
        }
        return r;
    }
    if (strcmp(word, "threads") == 0)
        return many_threads(number(words[1]) / 10.0, words[2] != NULL);
    return -ENOSYS;
}

int main(void) {
    char line[1024];
    setlocale(LC_ALL, "");
    while (fgets(line, sizeof(line), stdin)) {
        size_t count = 0;
        memset(words, 0, sizeof(words));
        for (char *w = strtok(line, " \n"); w && count < WORDS; w = strtok(NULL, " \n")) {
            words[count++] = strcmp(w, "''") == 0 ? (char *)"" : w;
            for (; *w; w++)
                if (*w == '+')
                    *w = ' ';
        }
        if (count == 0)
            continue;
        const int r = obey();
        printf("%d\n", r);
        fflush(stdout);
    }
    tally_fs_free(fs);
    while (values)
        free_value(values);
    tally_fs_series_free(shared);
    return 0;
}
