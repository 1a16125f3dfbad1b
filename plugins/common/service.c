/* SPDX-License-Identifier: MIT */
#include "service.h"

#include "rights.h"
#include "watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t service_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t service_next_beat_ns(uint64_t beat_ns, uint64_t interval_ns, uint64_t now_ns) {
    if (now_ns < beat_ns)
        return beat_ns;
    return beat_ns + ((now_ns - beat_ns) / interval_ns + 1) * interval_ns;
}

int service_write(int fd, const char *data, size_t len, struct service_signals *signals) {
    uint64_t until_ns = UINT64_MAX;
    while (len > 0) {
        struct pollfd fds[2] = {{.fd = fd, .events = POLLOUT},
                                {.fd = signals->fd, .events = POLLIN}};
        service_poll(fds, 2, until_ns);
        service_signals_take(signals);
        /* a reader that is only slow gets the rest of the text */
        if (signals->stop && until_ns == UINT64_MAX)
            until_ns = service_now_ns() + NS_PER_S;
        if (fds[0].revents == 0) {
            if (service_now_ns() >= until_ns)
                return -ECANCELED;
            continue;
        }
        /* a pipe that poll(2) calls writable takes this much without waiting */
        ssize_t n = write(fd, data, len < PIPE_BUF ? len : PIPE_BUF);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

/* ---- A collector and its configuration ------------------------------------------- */

/* Said once until collecting works again. */
static void say_failure(struct service *s, const char *text) {
    if (!s->failing)
        cli_say(s->cli.program, 'E', "%s", text);
    s->failing = true;
}

bool service_counts_lifetimes(const struct service *s) {
    return !cli_stays(&s->cli, s->config) && tally_config_get(s->config, "state-file")[0] == '\0';
}

/* A collector for s->config, which goes on from another one unless that is NULL. -errno. */
static int open_tally(struct service *s, tally *from, struct tally_error *error) {
    const struct tally_new_opts opts = {
        .size = sizeof(opts),
        .count_lifetimes = service_counts_lifetimes(s),
        .inherit = from,
        .keep = s->work->keep,
    };
    return tally_new(s->config, &opts, &s->t, error);
}

/* 0, or the status to exit with. */
static int open_collector(struct service *s) {
    const struct cli_program *program = s->cli.program;
    struct tally_error error;
    const char *path = cli_flag(&s->cli, "config");
    if (path)
        s->file = watch_look(path); /* before it is read, so that no change is missed */
    if (cli_configure(&s->cli, &s->config, &error) < 0) {
        cli_say(program, 'E', "%s", error.text);
        return CLI_MISUSED;
    }
    cli_warn(&s->cli, s->config, NULL);
    cli_choose_source(&s->cli, s->config);
    int r = open_tally(s, NULL, &error);
    if (r == -EINVAL) {
        cli_say(program, 'E', "%s", error.text);
        return CLI_MISUSED;
    }
    if (r < 0)
        say_failure(s, error.text);
    return 0;
}

static void close_collector(struct service *s) {
    s->t = tally_free(s->t);
    s->config = tally_config_free(s->config);
}

/* The one place where the program gives up what it needed to get this far. What
 * comes later (collecting, writing, reading a changed configuration, another try
 * to open the collector) must do with what rights.c keeps. */
static void enter_sandbox(struct service *s) {
    const char *paths[] = {cli_flag(&s->cli, "output"),
                           tally_config_get(s->config, "state-file")};
    struct tally_error error;
    if (rights_reduce(paths, sizeof(paths) / sizeof(paths[0]), &error) < 0)
        cli_say(s->cli.program, 'W', "%s; going on with them", error.text);
    int r = rights_filter(s->work->serves, &error);
    if (r < 0 && r != -ENOTSUP)
        cli_say(s->cli.program, 'W', "%s; going on without", error.text);
}

int service_main(const struct cli_program *program, const struct service_work *work, int argc,
                 char **argv) {
    struct service s = {.work = work, .data = work->data};
    int status = cli_begin(&s.cli, program, argc, argv);
    if (status < 0) {
        int r = service_signals_open(&s.signals, work->pokes);
        if (r == 0)
            r = tally_text_new(&s.text);
        if (r < 0)
            cli_say(program, 'E', "cannot prepare for signals and output: %s", strerror(-r));
        status = r < 0 ? CLI_FAILED : open_collector(&s);
        if (status == 0 && work->prepare)
            status = work->prepare(&s);
        if (status == 0) {
            enter_sandbox(&s);
            status = work->run(&s);
        }
    }
    close_collector(&s);
    tally_text_free(s.text);
    cli_end(&s.cli);
    return status;
}

void service_reload(struct service *s, bool now) {
    const struct cli_program *program = s->cli.program;
    const char *path = cli_flag(&s->cli, "config");
    if (!path)
        return;
    const struct stat file = watch_look(path);
    if (!now && (watch_is_same(&file, &s->file) || watch_is_being_written(&file)))
        return;
    if (watch_is_emptied(&file, &s->file)) {
        cli_say(program, 'E', "%s is empty, expected options; the old configuration stays", path);
        return;
    }

    struct tally_error error;
    const struct service before = *s;
    tally_config *config = NULL;
    int r = cli_configure(&s->cli, &config, &error);
    const struct stat after = watch_look(path);
    if (!now && !watch_is_same(&after, &file)) { /* changed while it was read: the next time */
        tally_config_free(config);
        return;
    }
    s->file = file;
    if (r >= 0) {
        s->config = config;
        r = open_tally(s, before.t, &error);
    }
    if (r < 0) {
        cli_say(program, 'E', "%s; the old configuration stays", error.text);
        s->config = before.config;
        tally_config_free(config);
        return;
    }
    cli_warn(&s->cli, s->config, before.config);
    tally_free(before.t);
    tally_config_free(before.config);
    s->snapshot = NULL;
    cli_say(program, 'I', "%s has been read again", path);
}

/* With *ret_snapshot, or NULL: without one. */
static int look(struct service *s, const tally_snapshot **ret_snapshot) {
    struct tally_error text;
    int r = 0;
    if (!s->t) {
        r = open_tally(s, NULL, &text);
        if (r < 0) {
            say_failure(s, text.text);
            return r;
        }
    }
    r = tally_collect(s->t, ret_snapshot);
    if (r < 0) {
        snprintf(text.text, sizeof(text.text), "cannot collect: %s", strerror(-r));
        say_failure(s, text.text);
    } else if (s->failing) {
        s->failing = false;
        cli_say(s->cli.program, 'I', "collecting works again");
    }
    while (tally_notice(s->t, &text)) {
        cli_say(s->cli.program, 'W', "%s", text.text);
        if (s->work->told)
            s->work->told(s, text.text);
    }
    return r;
}

int service_collect(struct service *s) {
    return look(s, &s->snapshot);
}

int service_look(struct service *s) {
    return look(s, NULL);
}
