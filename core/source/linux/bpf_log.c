/* SPDX-License-Identifier: MIT */
#include "source/linux/bpf_log.h"

#include <bpf/libbpf.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
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

__attribute__((format(printf, 2, 0))) static int log_to_error(enum libbpf_print_level level,
                                                              const char *format, va_list args) {
    if (!is_ours) {
        /* Or after end, if libbpf fetched the pointer right before the functions were swapped. */
        pthread_mutex_lock(&swapping);
        libbpf_print_fn_t print = programs_own;
        pthread_mutex_unlock(&swapping);
        return print ? print(level, format, args) : 0;
    }
    if (level != LIBBPF_WARN || !listener || listener->text[0])
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
