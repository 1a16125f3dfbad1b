/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/linux/bpf_log.h"

#include <bpf/libbpf.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Held from begin to end. */
static pthread_mutex_t in_use = PTHREAD_MUTEX_INITIALIZER;
/* Held while the functions are swapped: libbpf returns the program's function only after
 * replacing it, and another thread may call ours before we know where to pass it on. */
static pthread_mutex_t swapping = PTHREAD_MUTEX_INITIALIZER;
static libbpf_print_fn_t programs_own;

/* libbpf passes no context to its print function. */
static _Thread_local bool is_ours; /* this thread is between begin and end */
static _Thread_local struct tally_error *listener;

/* The log is long, and ends with the reason and lines of statistics:
 *     ...
 *     Type 'atomic_long_t' is not a struct
 *     processed 96 insns (limit 1000000) ...
 *     -- END PROG LOAD LOG --
 * That says more than the warning before it, that loading failed. */
__attribute__((format(printf, 1, 0))) static void take_verifiers_words(const char *format,
                                                                       va_list args) {
    char *text = NULL, *end, *line;
    if (vasprintf(&text, format, args) < 0)
        return;
    end = strstr(text, "\nprocessed ");
    if (!end)
        end = strstr(text, "\n-- END");
    if (end) {
        *end = '\0';
        /* instead of the reason it may say how much time it took */
        line = strrchr(text, '\n');
        if (line && strncmp(line + 1, "verification time", 17) == 0)
            *line = '\0';
        line = strrchr(text, '\n');
        if (line && line[1])
            snprintf(listener->text, sizeof(listener->text), "the kernel refuses a program: %.300s",
                     line + 1);
    }
    free(text);
}

__attribute__((format(printf, 2, 0))) static int log_to_error(enum libbpf_print_level level,
                                                              const char *format, va_list args) {
    if (!is_ours) {
        /* Or after end, if libbpf fetched the pointer right before the functions were swapped. */
        pthread_mutex_lock(&swapping);
        libbpf_print_fn_t print = programs_own;
        pthread_mutex_unlock(&swapping);
        return print ? print(level, format, args) : 0;
    }
    if (level != LIBBPF_WARN || !listener)
        return 0;
    if (strstr(format, "BEGIN PROG LOAD LOG")) {
        take_verifiers_words(format, args);
        return 0;
    }
    if (listener->text[0])
        return 0;
    vsnprintf(listener->text, sizeof(listener->text), format, args);
    listener->text[strcspn(listener->text, "\n")] = '\0';
    return 0;
}

void bpf_log_begin(void) {
    pthread_mutex_lock(&in_use);
    is_ours = true;
    pthread_mutex_lock(&swapping);
    libbpf_print_fn_t before = libbpf_set_print(log_to_error);
    /* A thread that set another function meanwhile was given ours as the previous one, and
     * may have restored that. */
    if (before != log_to_error)
        programs_own = before;
    pthread_mutex_unlock(&swapping);
}

void bpf_log_to(struct tally_error *error) {
    listener = error;
}

void bpf_log_end(void) {
    pthread_mutex_lock(&swapping);
    libbpf_print_fn_t now = libbpf_set_print(programs_own);
    /* Another thread has set a new one meanwhile: that stays. */
    if (now != log_to_error)
        libbpf_set_print(now);
    pthread_mutex_unlock(&swapping);
    listener = NULL;
    is_ours = false;
    pthread_mutex_unlock(&in_use);
}
