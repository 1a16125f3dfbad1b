/* SPDX-License-Identifier: MIT */
/* proctally-exporter: scraped by Prometheus over HTTP. */
#include "about.h"
#include "cli.h"
#include "demand.h"
#include "drop_in.h"
#include "duration.h"
#include "gzip.h"
#include "json.h"
#include "server.h"
#include "service.h"
#include "watch.h"
#include "web_config.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* What is still being sent at the end. */
#define GRACE_NS (5 * NS_PER_S)
#define DESCRIPTORS_ASIDE 64 /* for all but connections */

static const struct cli_flag own_flags[] = {
    {.name = "web.listen-address", .argument = "ADDRESS", .is_repeatable = true,
     .help = "Where to listen: [HOST]:PORT, [IPV6-ADDRESS]:PORT or unix:PATH. Several are "
             "possible. Default: :9256"},
    {.name = "web.telemetry-path", .argument = "PATH",
     .help = "Where the metrics are. Default: /metrics"},
    {.name = "web.config.file", .argument = "FILE", .may_be_empty = true,
     .help = "TLS, passwords and limits, in the format of Prometheus' exporters."},
    {.name = "web.systemd-socket", .is_switch = true,
     .help = "Listen on the sockets that systemd hands over."},
    {.name = "web.enable-lifecycle", .is_switch = true,
     .help = "A POST to /-/reload reads the configuration again."},
    {.name = "web.max-connections", .argument = "COUNT",
     .help = "Connections at a time; the idlest has to leave for one more. Default: 256"},
    {.name = "web.max-requests", .argument = "COUNT",
     .help = "Requests that may wait for a collection at a time; 0: any number. Default: 40"},
    {.name = "min-age", .argument = "DURATION",
     .help = "A snapshot that is not older serves for a scrape. With the option interval scrapes "
             "never collect. Default: 1s"},
    DROP_IN_FLAGS,
};

static const struct cli_program program = {
    .name = "proctally-exporter",
    .summary = "Serves what each group of processes uses to Prometheus over HTTP, collected when "
               "it is asked for, or in the background if the option interval is given. Takes "
               "process-exporter's command line, and then has its names.",
    .flags = own_flags,
    .flag_count = sizeof(own_flags) / sizeof(own_flags[0]),
    .settle = drop_in_settle,
};

struct exporter {
    struct server_options options;
    struct web_config *web; /* until there is a server */
    struct server *server;
    struct about about;
    struct demand demand;
    /* The last remarks of the collector, for the page. */
    struct tally_error remarks[8];
    size_t remark_count;
    char web_error[512]; /* that was said last */
};

/* ---- The command line ------------------------------------------------------------------- */

static int parse_count(const struct cli *cli, const char *flag, unsigned least, unsigned *ret) {
    const char *text = cli_flag(cli, flag);
    char *end;
    if (!text)
        return 0;
    errno = 0;
    unsigned long count = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    if (text[0] < '0' || text[0] > '9' || *end || errno || count > 1000000 || count < least) {
        cli_say(&program, 'E', "--%s got \"%s\"; expected a number from %u to 1000000", flag, text,
                least);
        return -EINVAL;
    }
    *ret = (unsigned)count;
    return 0;
}

static int read_flags(struct service *service, struct exporter *e) {
    const struct cli *cli = &service->cli;
    const char *path = cli_flag(cli, "web.telemetry-path");
    e->options = (struct server_options){
        .metrics_path = path ? path : "/metrics",
        .lifecycle = cli_switch(cli, "web.enable-lifecycle", false),
        .max_connections = 256,
        .max_requests = 40,
    };
    if (e->options.metrics_path[0] != '/') {
        cli_say(&program, 'E', "--web.telemetry-path got \"%s\"; expected a path that begins "
                               "with /", path);
        return -EINVAL;
    }
    int r = demand_init(&e->demand, service);
    if (r == 0)
        r = parse_count(cli, "web.max-connections", 1, &e->options.max_connections);
    return r < 0 ? r : parse_count(cli, "web.max-requests", 0, &e->options.max_requests);
}

/* ---- Before rights are given up ------------------------------------------------------------ */

static void say_warnings(const struct web_config *web) {
    for (size_t i = 0; web && i < web->warning_count; i++)
        cli_say(&program, 'W', "%s", web->warnings[i]);
}

static int open_listeners(const struct cli *cli, struct server_options *options) {
    const char *address = cli_flag(cli, "web.listen-address");
    struct tally_error error;
    if (cli_switch(cli, "web.systemd-socket", false)) {
        ssize_t n = listen_inherited(options->listeners, LISTENERS_MOST, &error);
        if (n < 0) {
            cli_say(&program, 'E', "%s", error.text);
            return (int)n;
        }
        options->listener_count = (size_t)n;
        return 0;
    }
    char seed[300];
    if (!address)
        address = drop_in_address(cli, seed, sizeof(seed));
    for (size_t i = 0; address; address = cli_flag_nth(cli, "web.listen-address", ++i)) {
        if (options->listener_count == LISTENERS_MOST) {
            cli_say(&program, 'E', "--web.listen-address is given more than %d times",
                    LISTENERS_MOST);
            return -E2BIG;
        }
        int r = listen_on(address, &options->listeners[options->listener_count], &error);
        if (r < 0) {
            cli_say(&program, 'E', "%s", error.text);
            return r;
        }
        options->listener_count++;
    }
    return 0;
}

/* Each connection is a descriptor. As many as there are for them are taken, lest collecting
 * finds none. -errno, with a sentence said. */
static int allow_descriptors(unsigned *connections) {
    const rlim_t aside = DESCRIPTORS_ASIDE + SERVER_DESCRIPTORS_ASIDE;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    const rlim_t wanted = *connections + aside;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return 0;
    if (limit.rlim_cur <= aside) {
        cli_say(&program, 'E', "only %llu descriptors may be open, expected %llu or more (ulimit -n)",
                (unsigned long long)limit.rlim_cur, (unsigned long long)aside + 1);
        return -EMFILE;
    }
    *connections = (unsigned)(limit.rlim_cur - aside);
    cli_say(&program, 'W', "%u connections at a time: only %llu descriptors may be open (ulimit -n)",
            *connections, (unsigned long long)limit.rlim_cur);
    return 0;
}

static int prepare(struct service *service) {
    struct exporter *e = service->data;
    struct tally_error error;
    if (read_flags(service, e) < 0)
        return CLI_MISUSED;
    if (!cli_stays(&service->cli, service->config))
        return 0;
    const char *path = cli_flag(&service->cli, "web.config.file");
    if (path && web_config_load(path, &e->web, &error) < 0) {
        cli_say(&program, 'E', "%s", error.text);
        return CLI_MISUSED;
    }
    say_warnings(e->web);
    if (allow_descriptors(&e->options.max_connections) < 0)
        return CLI_FAILED;
    return open_listeners(&service->cli, &e->options) < 0 ? CLI_FAILED : 0;
}

/* ---- Texts --------------------------------------------------------------------------------- */

/* What the page needs besides the snapshot, as the first members of its object. */
static void write_json_head(const struct exporter *e, FILE *to) {
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    fprintf(to, "{\"version\":\"%s\",\"host\":", tally_version());
    json_text(to, host);
    fputs(",\"metrics_path\":", to);
    json_text(to, e->options.metrics_path);
    fputs(",\"notices\":[", to);
    for (size_t i = 0; i < e->remark_count; i++) {
        if (i > 0)
            putc(',', to);
        json_text(to, e->remarks[i].text);
    }
    fputs("],", to);
}

static enum tally_schema schema_of(const tally_config *config) {
    const char *name = tally_config_get(config, "schema");
    return strcmp(name, "process-exporter") == 0 ? TALLY_SCHEMA_PROCESS_EXPORTER
           : strcmp(name, "process") == 0        ? TALLY_SCHEMA_PROCESS
                                                 : TALLY_SCHEMA_NATIVE;
}

static const char openmetrics_end[] = "# EOF\n";

/* What is the exporter's own in a text: in front of the snapshot's, or behind. -errno. */
static int make_own_text(const struct service *service, enum body body, char **ret,
                         size_t *ret_len) {
    const struct exporter *e = service->data;
    FILE *to = open_memstream(ret, ret_len);
    if (!to)
        return -errno;
    if (body == BODY_JSON) {
        write_json_head(e, to);
    } else {
        about_write(&e->about, schema_of(service->config), body == BODY_OPENMETRICS, to);
        if (body == BODY_OPENMETRICS)
            fputs(openmetrics_end, to);
    }
    bool failed = ferror(to);
    if (fclose(to) == 0 && !failed)
        return 0;
    free(*ret);
    return -ENOMEM;
}

/* The whole of a text that is not compressed, from malloc(3). -errno. */
static int make_text(const struct service *service, enum body body, char **ret, size_t *ret_len) {
    static int (*const encoders[])(const tally_snapshot *, tally_text *, const char **, size_t *) = {
        [BODY_PROMETHEUS] = tally_encode_prometheus,
        [BODY_OPENMETRICS] = tally_encode_openmetrics,
        [BODY_JSON] = tally_encode_json,
    };
    const char *text = NULL;
    char *own = NULL;
    size_t len = 0, own_len = 0;
    int r = encoders[body](service->snapshot, service->text, &text, &len);
    if (r == 0)
        r = make_own_text(service, body, &own, &own_len);
    if (r < 0)
        return r;
    const bool is_first = body == BODY_JSON;
    if (is_first) { /* in its object */
        text++;
        len--;
    } else if (body == BODY_OPENMETRICS) {
        len -= strlen(openmetrics_end);
    }
    /* megabytes: copied once */
    char *whole = text && own ? malloc(own_len + len) : NULL;
    if (whole) {
        memcpy(whole + (is_first ? 0 : len), own, own_len);
        memcpy(whole + (is_first ? own_len : 0), text, len);
        *ret = whole;
        *ret_len = own_len + len;
    }
    free(own);
    return whole ? 0 : -ENOMEM;
}

/* Makes and publishes what is wanted, each text once. */
static void make_bodies(struct service *service, unsigned bodies) {
    struct exporter *e = service->data;
    for (enum body plain = BODY_PROMETHEUS; plain < BODIES; plain += 2) {
        const enum body compressed = plain + 1;
        if (!(bodies & (1u << plain | 1u << compressed)))
            continue;
        char *text = NULL, *small = NULL;
        size_t len = 0, small_len = 0;
        server_answered(e->server, e->about.answered);
        int r = make_text(service, plain, &text, &len);
        if (r == 0 && bodies & 1u << compressed)
            r = gzip_text(text, len, &small, &small_len);
        if (r < 0) {
            cli_say(&program, 'E', "cannot write down what was collected: %s", strerror(-r));
            server_refuse(e->server, 1u << plain | 1u << compressed,
                          "cannot write down what was collected");
            free(text);
            continue;
        }
        if (small)
            server_publish(e->server, compressed, small, small_len);
        if (bodies & 1u << plain)
            server_publish(e->server, plain, text, len);
        else
            free(text);
    }
}

/* ---- Collecting ------------------------------------------------------------------------------ */

static void told(struct service *service, const char *remark) {
    struct exporter *e = service->data;
    const size_t most = sizeof(e->remarks) / sizeof(e->remarks[0]);
    for (size_t i = 0; i < e->remark_count; i++)
        if (strcmp(e->remarks[i].text, remark) == 0)
            return;
    if (e->remark_count == most)
        memmove(e->remarks, e->remarks + 1, --e->remark_count * sizeof(e->remarks[0]));
    snprintf(e->remarks[e->remark_count++].text, sizeof(e->remarks[0].text), "%s", remark);
}

/* A new snapshot. False: it failed, and who waits has been told. */
static bool collect(struct exporter *e) {
    const uint64_t begun_ns = service_now_ns();
    const bool is_background = demand_is_background(&e->demand);
    if (demand_collect(&e->demand) < 0) {
        e->about.failed_collections++;
        server_set_ready(e->server, false);
        server_end_snapshot(e->server, "cannot collect; the exporter's log says why");
        return false;
    }
    const uint64_t collected_ns = e->demand.collected_ns;
    about_count(&e->about, e->demand.service->snapshot, e->demand.service->config);
    /* in the background nobody waits for it */
    server_set_duration(e->server, is_background ? 0 : collected_ns - begun_ns);
    server_set_ready(e->server, true);
    server_begin_snapshot(e->server, is_background ? UINT64_MAX
                                                   : collected_ns + e->demand.min_age_ns);
    return true;
}

/* Counts what there is to count, though nobody asks. */
static void look(struct exporter *e) {
    const uint64_t begun_ns = service_now_ns();
    server_set_ready(e->server, demand_look(&e->demand) == 0);
    server_set_duration(e->server, e->demand.looked_ns - begun_ns);
}

/* ---- Staying -------------------------------------------------------------------------------- */

static void reload_web(struct service *service, bool now) {
    struct exporter *e = service->data;
    const char *path = cli_flag(&service->cli, "web.config.file");
    struct web_config *web = NULL;
    struct tally_error error;
    if (!path || (!now && !web_config_has_changed(server_web(e->server))))
        return;
    int r = 0;
    const struct stat file = watch_look(path);
    /* an empty one would let everybody in */
    if (watch_is_emptied(&file, &server_web(e->server)->files[0].as_read)) {
        snprintf(error.text, sizeof(error.text), "%s is empty, expected a web configuration", path);
        r = -EINVAL;
    }
    if (r == 0)
        r = web_config_load(path, &web, &error);
    if (r == 0)
        r = server_change(e->server, web, &error);
    if (r < 0) {
        if (strcmp(e->web_error, error.text) != 0)
            cli_say(&program, 'E', "%s; the old web configuration stays", error.text);
        snprintf(e->web_error, sizeof(e->web_error), "%s", error.text);
        return;
    }
    e->web_error[0] = '\0';
    say_warnings(server_web(e->server));
    cli_say(&program, 'I', "%s has been read again", path);
}

static void reload(struct service *service, bool now) {
    struct exporter *e = service->data;
    const bool is_another = demand_reload(&e->demand, now);
    reload_web(service, now);
    if (!is_another)
        return;
    server_begin_snapshot(e->server, 0);
    if (!demand_is_background(&e->demand)) /* which collects now */
        look(e);
}

static int serve(struct service *service) {
    struct exporter *e = service->data;
    struct demand *demand = &e->demand;
    if (collect(e)) /* what the first scrape counts from */
        demand_say(demand);
    for (;;) {
        struct pollfd fds[2] = {{.fd = service->signals.fd, .events = POLLIN},
                                {.fd = server_fd(e->server), .events = POLLIN}};
        service_poll(fds, 2, demand_until_ns(demand));
        service_signals_take(&service->signals);
        if (service->signals.stop)
            return CLI_DONE;
        struct server_wants wants = server_take_wants(e->server);
        bool now = service->signals.poke || wants.reload;
        service->signals.poke = false;
        if (now || demand_must_watch(demand))
            reload(service, now);

        if (demand_is_due(demand) && demand_is_background(demand)) {
            (void)collect(e);
            demand_next_beat(demand);
        } else if (demand_is_due(demand)) {
            look(e);
        }
        if (wants.bodies && (demand_is_fresh(demand) || collect(e)))
            make_bodies(service, wants.bodies);
    }
}

static int print_once(struct service *service) {
    struct exporter *e = service->data;
    const char *delay = cli_flag(&service->cli, "once-to-stdout-delay");
    uint64_t delay_ns = 0;
    if (delay)
        (void)parse_duration(delay, &delay_ns); /* drop_in_settle() has had a look at it */
    if (!service->t) /* the reason has been said */
        return CLI_FAILED;
    if (delay_ns) {
        if (service_collect(service) < 0)
            return CLI_FAILED;
        struct pollfd fd = {.fd = service->signals.fd, .events = POLLIN};
        const uint64_t until_ns = service_now_ns() + delay_ns;
        while (service_now_ns() < until_ns && !service->signals.stop) {
            service_poll(&fd, 1, until_ns);
            service_signals_take(&service->signals);
        }
        if (service->signals.stop)
            return CLI_DONE;
    }
    char *text;
    size_t len;
    if (service_collect(service) < 0)
        return CLI_FAILED;
    about_count(&e->about, service->snapshot, service->config);
    int r = make_text(service, BODY_PROMETHEUS, &text, &len);
    if (r == 0) {
        r = service_write(STDOUT_FILENO, text, len, &service->signals);
        free(text);
    }
    if (r < 0 && r != -ECANCELED)
        cli_say(&program, 'E', "cannot write to standard output: %s", strerror(-r));
    return r < 0 ? CLI_FAILED : CLI_DONE;
}

static int run(struct service *service) {
    struct exporter *e = service->data;
    struct tally_error error;
    if (!cli_stays(&service->cli, service->config))
        return print_once(service);
    struct web_config *web = e->web;
    e->web = NULL;
    if (server_new(&e->options, web, &e->server, &error) < 0) {
        cli_say(&program, 'E', "%s", error.text);
        return CLI_FAILED;
    }
    for (size_t i = 0; i < e->options.listener_count; i++)
        cli_say(&program, 'I', "listening on %s", e->options.listeners[i].name);
    int status = serve(service);
    e->server = server_free(e->server, GRACE_NS);
    return status;
}

int main(int argc, char **argv) {
    static const int pokes[] = {SIGHUP, 0}; /* reload now */
    static struct exporter exporter;
    static const struct service_work work = {
        .pokes = pokes,
        .data = &exporter,
        .prepare = prepare,
        .run = run,
        .told = told,
        .serves = true,
    };
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    exporter.about.start_unix_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    int status = service_main(&program, &work, argc, argv);
    web_config_free(exporter.web);
    return status;
}
