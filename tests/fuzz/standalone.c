/* SPDX-License-Identifier: MIT */
/*
 * All fuzz targets in one program without libFuzzer:
 *     replay                     the corpora in $SRC/tests/fuzz/corpus
 *     replay TARGET PATH...      files, or all files of directories
 * What does not hold ends it with a message, behind the name of the file.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifndef FUZZ_REPLAY
#error build it with FUZZ_REPLAY defined
#endif

#ifdef FUZZ_EXPORTER
#define TARGETS_EXPORTER X(dropin) X(http) X(web)
#else
#define TARGETS_EXPORTER
#endif
#define TARGETS                                                                        \
    X(classify) X(collect) X(config) X(encode) X(json) X(options) X(parse) X(state) X(utf8) \
    TARGETS_EXPORTER

#define X(name) int fuzz_##name(const uint8_t *data, size_t len);
TARGETS
#undef X

static const struct {
    const char *name;
    int (*run)(const uint8_t *data, size_t len);
} targets[] = {
#define X(name) {#name, fuzz_##name},
    TARGETS
#undef X
};

static size_t replayed;

static int replay_file(size_t target, const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat st;
    if (!file || fstat(fileno(file), &st) < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        if (file)
            fclose(file);
        return 1;
    }
    /* of the exact size, so that reading past the end shows */
    size_t len = (size_t)st.st_size;
    uint8_t *data = malloc(len ? len : 1);
    if (!data || fread(data, 1, len, file) != len) {
        fprintf(stderr, "%s: can't be read\n", path);
        fclose(file);
        free(data);
        return 1;
    }
    fclose(file);
    /* on record if what follows does not return */
    puts(path);
    fflush(stdout);
    targets[target].run(data, len);
    replayed++;
    free(data);
    return 0;
}

static int replay(size_t target, const char *path) {
    struct stat st;
    struct dirent **entries;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return replay_file(target, path);
    int count = scandir(path, &entries, NULL, alphasort), failed = 0;
    if (count < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    for (int i = 0; i < count; i++) {
        char name[PATH_MAX];
        snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            failed |= replay_file(target, name);
        free(entries[i]);
    }
    free(entries);
    return failed;
}

int main(int argc, char **argv) {
    const char *src = getenv("SRC");
    int failed = 0;
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        char path[PATH_MAX];
        size_t before = replayed;
        if (argc > 1 && strcmp(argv[1], targets[i].name) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", src ? src : ".", targets[i].name);
        if (argc < 3)
            failed |= replay(i, path);
        for (int a = 2; a < argc; a++)
            failed |= replay(i, argv[a]);
        printf("%-9s %4zu inputs\n", targets[i].name, replayed - before);
        /* a corpus that has vanished must not pass */
        failed |= replayed == before;
    }
    if (replayed == 0)
        fprintf(stderr, "nothing was replayed\n");
    return failed || replayed == 0;
}
