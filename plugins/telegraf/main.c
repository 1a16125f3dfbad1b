/* SPDX-License-Identifier: MIT */
/* proctally-telegraf: line protocol for Telegraf's inputs.execd. */
#include "cli.h"
#include "service.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const struct cli_flag own_flags[] = {
    {.name = "poll-interval", .argument = "DURATION", .means = "interval",
     .help = "The same as interval, by the name that Telegraf's external plugins use."},
};

static const struct cli_program program = {
    .name = "proctally-telegraf",
    .summary = "Prints what each group of processes uses in InfluxDB line protocol, for "
               "Telegraf's inputs.execd: every interval, or, as soon as it gets a newline on "
               "standard input, SIGHUP, SIGUSR1 or SIGUSR2, whenever it gets one of these. It "
               "leaves when standard input ends.",
    .telegraf_messages = true,
    .flags = own_flags,
    .flag_count = sizeof(own_flags) / sizeof(own_flags[0]),
};

enum outcome { GO_ON, LEAVE, FAIL };

static enum outcome print(struct service *service) {
    const char *text;
    size_t len;
    int r = tally_encode_influx(service->snapshot, service->text, &text, &len);
    if (r < 0) {
        cli_say(&program, 'E', "cannot write down what was collected: %s", strerror(-r));
        return GO_ON;
    }
    r = service_write(STDOUT_FILENO, text, len, &service->signals);
    if (r == -EPIPE || r == -ECANCELED) /* Telegraf is gone, or wants us to go */
        return LEAVE;
    if (r < 0) {
        cli_say(&program, 'E', "cannot write to standard output: %s", strerror(-r));
        return FAIL;
    }
    return GO_ON;
}

static int run_once(struct service *service) {
    if (!service->t) /* the reason has been said */
        return CLI_FAILED;
    if (service_collect(service) < 0)
        return CLI_FAILED;
    return print(service) == FAIL ? CLI_FAILED : CLI_DONE;
}

static int run_until_end(struct service *service) {
    struct service_signals *signals = &service->signals;
    /* as much as a pipe holds, so that requests that piled up are one request */
    static char input[65536];
    bool driven = false; /* somebody asks, so the timer is off */
    bool ended = false;
    uint64_t interval_ns;
    uint64_t beat_ns = service_now_ns();
    tally_config_interval(service->config, &interval_ns);
    (void)service_collect(service); /* what the first cycle counts from */
    beat_ns = service_next_beat_ns(beat_ns, interval_ns, service_now_ns());

    while (!ended) {
        struct pollfd fds[3] = {
            {.fd = signals->fd, .events = POLLIN},
            {.fd = STDIN_FILENO, .events = POLLIN},
            {.fd = STDOUT_FILENO, .events = 0}, /* tells when the reader is gone */
        };
        service_poll(fds, 3, driven ? UINT64_MAX : beat_ns);
        service_signals_take(signals);
        if (signals->stop || fds[2].revents & (POLLERR | POLLHUP))
            return CLI_DONE;
        bool asked = signals->poke;
        signals->poke = false;
        if (fds[1].revents) {
            ssize_t n = read(STDIN_FILENO, input, sizeof(input));
            ended = n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
            asked = asked || (n > 0 && memchr(input, '\n', (size_t)n));
        }
        driven = driven || asked;
        if (!asked && (driven || ended || service_now_ns() < beat_ns))
            continue;

        service_reload(service, false);
        tally_config_interval(service->config, &interval_ns);
        if (service_collect(service) >= 0) {
            switch (print(service)) {
            case GO_ON:
                break;
            case LEAVE:
                return CLI_DONE;
            case FAIL:
                return CLI_FAILED;
            }
        }
        beat_ns = service_next_beat_ns(beat_ns, interval_ns, service_now_ns());
    }
    return CLI_DONE;
}

static int run(struct service *service) {
    return cli_stays(&service->cli, service->config) ? run_until_end(service) : run_once(service);
}

int main(int argc, char **argv) {
    static const int pokes[] = {SIGHUP, SIGUSR1, SIGUSR2, 0}; /* gather */
    static const struct service_work work = {.pokes = pokes, .run = run};
    return service_main(&program, &work, argc, argv);
}
