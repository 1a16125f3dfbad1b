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
/* Held while the functions are swapped: libbpf tells what the program's was only when it
 * has been replaced, and another thread may call ours before we know. */
static pthread_mutex_t swapping = PTHREAD_MUTEX_INITIALIZER;
static libbpf_print_fn_t programs_own;

/* libbpf has no other way to hand its print function a context than these. */
static _Thread_local bool is_ours; /* what libbpf does in this thread, it does for us */
static _Thread_local struct tally_error *listener;

__attribute__((format(printf, 2, 0))) static int log_to_error(enum libbpf_print_level level,
                                                              const char *format, va_list args) {
    if (!is_ours) {
        /* Also a thread that took hold of this function right before it was swapped back. */
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
    /* The program may have put back what it had been given for its own, which was ours. */
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
    /* Another thread has set a new one meanwhile, which is to stay. */
    if (now != log_to_error)
        libbpf_set_print(now);
    pthread_mutex_unlock(&swapping);
    listener = NULL;
    is_ours = false;
    pthread_mutex_unlock(&in_use);
}
