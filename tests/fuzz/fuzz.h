/* SPDX-License-Identifier: MIT */
/*
 * What all fuzz targets share. A target is one file, fuzz_NAME.c, that begins
 * its function with FUZZ_TARGET(NAME): libFuzzer's entry point, or, where they
 * are all linked into the program that replays the corpora, fuzz_NAME().
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "collector/collector.h"
#include "config/config.h"

#ifdef FUZZ_REPLAY
#define FUZZ_TARGET(name)                              \
    int fuzz_##name(const uint8_t *data, size_t len); \
    int fuzz_##name(const uint8_t *data, size_t len)
#else
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
#define FUZZ_TARGET(name) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
#endif

/* A property that does not hold ends the program, so that it counts as a find. */
#define CHECK(condition, ...)                           \
    do {                                                \
        if (!(condition))                               \
            fuzz_fail(__FILE__, __LINE__, __VA_ARGS__); \
    } while (0)
__attribute__((noreturn, format(printf, 3, 4))) void fuzz_fail(const char *file, int line,
                                                               const char *format, ...);

/* ---- Inputs ---------------------------------------------------------------------- */

/* Inputs of several parts have this byte between them, so that a mutation in
 * one part leaves the others as they are. */
#define PART_END 0x1e

/* The next part; false at the end of the input. Of an exact size of its own, so
 * that reading past it shows; ended by a NUL byte in addition if `ended`. */
struct part {
    char *at;
    size_t len;
};
bool next_part(const uint8_t **data, size_t *len, bool ended, struct part *ret);
void part_free(struct part *part);

/* The next line of a text that is ended by NUL; splits it in place. */
char *next_line(char **text);
/* A decimal number at *at (0 if there is none), and the blank behind it. */
uint64_t next_number(char **at);

/* Options from lines NAME=VALUE; what is refused stays out, but see below. */
void set_options(tally_config *config, char *lines);

/* ---- Properties -------------------------------------------------------------------- */

/* UTF-8 by the table in chapter 3.9 of the Unicode standard. */
bool is_utf8(const char *text, size_t len);
/* Neither control characters nor what changes the direction of text. */
bool is_harmless(const char *text, size_t len);
/* What an error says to the user: one line, not empty. */
void check_error(const struct tally_error *error);
/* Everything that can be asked of a configuration, and that it can be used. */
void check_config(const tally_config *config);
/* Both encoders' output of the last snapshot, read back. */
void check_encoders(tally *t);
/* Names, labels and number of the groups. */
void check_groups(const tally *t);

#endif
