/* SPDX-License-Identifier: MIT */
#include "watching.h"

#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_sink(struct watch *w, size_t i) {
    if (w->sinks[i].fd != STDOUT_FILENO)
        close(w->sinks[i].fd);
    w->sinks[i] = w->sinks[--w->sink_count];
}

/* Somebody may read slowly, or not at all: signals are still handed on. A reader who has
 * gone ends the records and not the command. */
static void write_out(struct watch *w, size_t sink, const char *data, size_t len) {
    const int fd = w->sinks[sink].fd;
    const size_t most = w->sinks[sink].is_file ? SIZE_MAX : PIPE_BUF;
    while (len > 0) {
        struct pollfd fds[2] = {{.fd = fd, .events = POLLOUT},
                                {.fd = w->signals_fd, .events = POLLIN}};
        const uint64_t now = now_ns(CLOCK_MONOTONIC);
        const uint64_t wait_ns = w->end_by_ns > now ? w->end_by_ns - now : 0;
        const struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                                      .tv_nsec = (long)(wait_ns % NS_PER_S)};
        if (ppoll(fds, 2, w->end_by_ns == UINT64_MAX ? NULL : &wait, NULL) < 0)
            fds[0].revents = 0;
        watch_handle_signals(w);
        /* nobody reads, and we are wanted elsewhere */
        if (!fds[0].revents && (now_ns(CLOCK_MONOTONIC) >= w->end_by_ns ||
                                (w->stop_signal && (w->root_ended || !w->is_run)))) {
            close_sink(w, sink);
            return;
        }
        if (!fds[0].revents)
            continue;
        ssize_t n = write(fd, data, len < most ? len : most);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0) {
            if (errno != EPIPE && errno != ECONNRESET)
                cli_say(w->cli->program, 'E', "cannot write to %s: %s; going on without",
                        w->sinks[sink].name, strerror(errno));
            close_sink(w, sink);
            return;
        }
        data += n;
        len -= (size_t)n;
    }
}

static void open_sink(struct watch *w, struct sink sink) {
    struct stat st;
    sink.is_file = fstat(sink.fd, &st) == 0 && S_ISREG(st.st_mode);
    w->sinks[w->sink_count++] = sink;
}

/* What write() says goes to all sinks of that format. */
void watch_emit(struct watch *w, bool is_csv, void (*write_record)(FILE *, void *), void *data) {
    bool is_wanted = false;
    for (size_t i = 0; i < w->sink_count; i++)
        is_wanted |= w->sinks[i].is_csv == is_csv;
    if (!is_wanted)
        return;
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (!to)
        return;
    write_record(to, data);
    if (fclose(to) == 0)
        for (size_t i = w->sink_count; i-- > 0;)
            if (w->sinks[i].is_csv == is_csv)
                write_out(w, i, text, len);
    free(text);
}

int watch_open_sinks(struct watch *w) {
    const struct watch_options *o = w->options;
    if (o->writes_json || o->writes_csv)
        open_sink(w, (struct sink){.fd = STDOUT_FILENO, .is_csv = o->writes_csv,
                                   .name = "standard output"});
    if (o->control_fd)
        open_sink(w, (struct sink){.fd = o->control_fd, .name = "the control socket"});
    if (!o->out)
        return 0;
    int fd = open(o->out, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) {
        cli_say(w->cli->program, 'E', "cannot open %s: %s", o->out, strerror(errno));
        return -errno;
    }
    open_sink(w, (struct sink){.fd = fd, .name = o->out});
    return 0;
}

struct failure {
    int error;
    struct tally_error text;
};

static void write_failure(FILE *to, void *data) {
    const struct failure *f = data;
    fprintf(to, "{\"kind\":\"error\",\"errno\":%d,\"error\":", f->error);
    json_text(to, f->text.text);
    fputs("}\n", to);
}

/* There is nothing to watch. Whoever is at the control socket speaks to the user. */
void watch_say_failure(struct watch *w, int r, const char *format, ...) {
    struct failure failure = {.error = -r};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure.text.text, sizeof(failure.text.text), format, arguments);
    va_end(arguments);
    if (w->options->control_fd)
        watch_emit(w, false, write_failure, &failure);
    else
        cli_say(w->cli->program, 'E', "%s", failure.text.text);
}

void watch_close_sinks(struct watch *w) {
    while (w->sink_count)
        close_sink(w, w->sink_count - 1);
}
