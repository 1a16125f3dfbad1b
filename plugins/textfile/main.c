/* SPDX-License-Identifier: MIT */
/* proctally-textfile: Prometheus text for node_exporter's textfile collector. */
#include "beside.h"
#include "cli.h"
#include "service.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct cli_flag own_flags[] = {
    {.name = "output", .argument = "FILE|-",
     .help = "Replace this file at once and as a whole (name it *.prom for node_exporter), or "
             "print if it is - or not given."},
};

static const struct cli_program program = {
    .name = "proctally-textfile",
    .summary = "Writes what each group of processes uses in Prometheus text format: once, or "
               "again and again if the option interval is given.",
    .once_without_interval = true,
    .flags = own_flags,
    .flag_count = sizeof(own_flags) / sizeof(own_flags[0]),
};

/* Puts the text where it belongs. -errno. */
static int put(const char *path, const char *text, size_t len, struct service_signals *signals) {
    if (strcmp(path, "-") == 0)
        return service_write(STDOUT_FILENO, text, len, signals);
    return tally_replace_file(path, text, len, 0644, true);
}

static void say_put_failed(const char *path, int error) {
    if (strcmp(path, "-") == 0)
        cli_say(&program, 'E', "cannot write to standard output: %s", strerror(error));
    else
        cli_say(&program, 'E', "cannot write %s: %s", path,
                error == ENOTSUP ? "it is not a regular file, expected one or none"
                                 : strerror(error));
}

/* Two files with the same series make node_exporter fail. */
static void tell_collision(const struct service *service, const char *path, const char *text,
                           size_t len) {
    const char *series;
    size_t series_len;
    char other[4096];
    if (beside_own_series(text, len, tally_config_get(service->config, "prefix"), &series,
                          &series_len) &&
        beside_find(path, series, series_len, other, sizeof(other)))
        cli_say(&program, 'W',
                "%s has the same series as %s, with which node_exporter fails; expected the option "
                "labels to tell them apart, as in --labels part=one",
                other, path);
}

static int collect_and_encode(struct service *service, const char **ret_text, size_t *ret_len) {
    int r = service_collect(service);
    if (r < 0)
        return r;
    r = tally_encode_prometheus(service->snapshot, service->text, ret_text, ret_len);
    if (r < 0)
        cli_say(&program, 'E', "cannot write down what was collected: %s", strerror(-r));
    return r;
}

static int run_once(struct service *service, const char *path) {
    static const char remark[] = "# proctally: no state file, so counters are the lifetime values "
                                 "of the processes alive now\n";
    if (!service->t) /* the reason has been said */
        return CLI_FAILED;
    bool lifetimes = service_counts_lifetimes(service);

    const char *text;
    size_t len;
    if (collect_and_encode(service, &text, &len) < 0)
        return CLI_FAILED;
    size_t remark_len = lifetimes ? sizeof(remark) - 1 : 0;
    char *whole = malloc(remark_len + len + 1);
    if (!whole) {
        cli_say(&program, 'E', "out of memory");
        return CLI_FAILED;
    }
    memcpy(whole, remark, remark_len);
    memcpy(whole + remark_len, text, len);
    int r = put(path, whole, remark_len + len, &service->signals);
    if (r == 0)
        tell_collision(service, path, text, len);
    free(whole);
    if (r < 0)
        say_put_failed(path, -r);
    /* the next run would count anew: that is a failure, and has been said */
    bool is_lost = !lifetimes && !tally_state_is_saved(service->t);
    return r < 0 || is_lost ? CLI_FAILED : CLI_DONE;
}

static int run_service(struct service *service, const char *path) {
    struct service_signals *signals = &service->signals;
    bool said[256] = {false}; /* by errno: write errors that were reported */
    bool to_stdout = strcmp(path, "-") == 0;
    bool looked_beside = false;
    uint64_t interval_ns, beat_ns = service_now_ns();
    for (;;) {
        struct pollfd fds[1] = {{.fd = signals->fd, .events = POLLIN}};
        service_poll(fds, 1, beat_ns);
        service_signals_take(signals);
        if (signals->stop)
            return CLI_DONE;
        if (signals->poke) {
            signals->poke = false;
            service_reload(service, true);
            beat_ns = service_now_ns(); /* the interval may be another one */
        }
        if (service_now_ns() < beat_ns)
            continue;

        service_reload(service, false);
        tally_config_interval(service->config, &interval_ns);
        const char *text;
        size_t len;
        if (collect_and_encode(service, &text, &len) >= 0) {
            int r = put(path, text, len, signals);
            if (r == -ECANCELED)
                return CLI_DONE;
            if (r >= 0) {
                memset(said, 0, sizeof(said));
                if (!looked_beside)
                    tell_collision(service, path, text, len);
                looked_beside = true;
            }
            if (r < 0 && (to_stdout || !said[-r & 255]))
                say_put_failed(path, -r);
            if (r < 0 && to_stdout)
                return CLI_FAILED;
            if (r < 0)
                said[-r & 255] = true;
        }
        beat_ns = service_next_beat_ns(beat_ns, interval_ns, service_now_ns());
    }
}

static int run(struct service *service) {
    const char *path = cli_flag(&service->cli, "output");
    return cli_stays(&service->cli, service->config) ? run_service(service, path ? path : "-")
                                  : run_once(service, path ? path : "-");
}

int main(int argc, char **argv) {
    static const int pokes[] = {SIGHUP, 0}; /* reload now */
    static const struct service_work work = {.pokes = pokes, .run = run};
    return service_main(&program, &work, argc, argv);
}
