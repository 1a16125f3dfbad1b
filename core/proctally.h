/* SPDX-License-Identifier: MIT */
/*
 * proctally: what did each group of processes on this host use?
 *
 * Ownership, in one sentence: every tally_*_new() is released by its
 * tally_*_free() (which accepts NULL and returns NULL), and everything else
 * that a function hands out belongs to the object that it was asked of.
 *
 * Errors are negative errno values. Outputs are `ret_` parameters, written
 * only on success. The library never prints, logs, exits, aborts, and touches
 * neither the locale nor signals.
 *
 * Threads: one object is used by one thread at a time; different objects are
 * independent of each other. Nothing is shared behind the scenes.
 */
#ifndef PROCTALLY_H
#define PROCTALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tally_config tally_config;
typedef struct tally tally;
typedef struct tally_snapshot tally_snapshot;

/* One sentence for the user: what, where, what was expected. Always ended by
 * a NUL byte, never by a newline or a full stop. */
struct tally_error {
    char text[512];
};

/* "1.2.3", the version of the library that is linked. */
const char *tally_version(void);

/* ---- The catalogue of options ------------------------------------------- */

enum tally_option_type {
    TALLY_OPTION_DURATION, /* "15s", "500ms", "1h30m" */
    TALLY_OPTION_COUNT,
    TALLY_OPTION_SWITCH, /* true or false; as a flag without a value: true */
    TALLY_OPTION_CHOICE, /* one of the choices */
    TALLY_OPTION_WORDS,  /* any of the choices */
    TALLY_OPTION_TEXT,
    TALLY_OPTION_TEXTS,
    TALLY_OPTION_PAIRS, /* KEY=VALUE; a mapping in YAML */
    TALLY_OPTION_RULES
};

struct tally_option {
    const char *name;     /* as in YAML and after "--": "group-by" */
    const char *argument; /* what it takes, for --help: "DURATION" */
    const char *standard; /* the default, as a user would write it; may be "" */
    const char *help;     /* one or two sentences, without a newline */
    enum tally_option_type type;
    bool list; /* may be given several times; values add up */
    const char *const *choices; /* ended by NULL; or NULL */
};

/* The options, in the order in which help and documentation show them.
 * The table is constant and lives as long as the program. */
const struct tally_option *tally_options(size_t *ret_count);

/* ---- Configuration ------------------------------------------------------- */

/* A new configuration with every option at its default. -ENOMEM. */
int tally_config_new(tally_config **ret_config);
tally_config *tally_config_free(tally_config *config);

/* Reads a YAML file: the options by their names, and process_names in
 * process-exporter's format (github.com/ncabatoff/process-exporter).
 * Options that were or will be given by tally_config_set() win over the
 * file's, in whatever order the two are called.
 * -EINVAL (error tells file, line and what was expected), -ENOENT, -EACCES and
 * what else open(2) says, -ENOTSUP in a build without libyaml, -ENOMEM. */
int tally_config_load(tally_config *config, const char *path, struct tally_error *error);

/* Gives one option one value, written as in the YAML file; for a list option
 * each call adds an element (group-by and collect also take several, separated
 * by commas; an empty value empties the list). "process_names" takes YAML (or
 * JSON) text. '-' and '_' are the same in names. -EINVAL, -ENOENT for a name
 * that is no option, -ENOTSUP, -ENOMEM; error is filled on failure. */
int tally_config_set(tally_config *config, const char *name, const char *value,
                     struct tally_error *error);

/* One rule of process_names. Lists are arrays of `count` strings; an empty list
 * is a selector that was not given. At least one selector is needed. */
struct tally_strings {
    const char *const *items;
    size_t count;
};
struct tally_rule {
    const char *name;            /* template; NULL: "{{.ExeBase}}" */
    struct tally_strings comm;   /* exact, any of */
    struct tally_strings exe;    /* argv[0]: base name, or whole if it has a '/'; any of */
    struct tally_strings cmdline;/* regular expressions, all must match */
    struct tally_strings user;   /* names or numbers of the effective user, any of */
    struct tally_strings cgroup; /* paths: the path itself, what is below it, or a glob; any of */
    struct tally_strings unit;   /* systemd units, exact or a glob; any of */
};

/* Adds a rule behind those that are there. Copies what it needs.
 * -EINVAL with error filled, -ENOTSUP (cmdline in a build without PCRE2),
 * -ENOMEM. */
int tally_config_add_rule(tally_config *config, const struct tally_rule *rule,
                          struct tally_error *error);

/* The option `interval` in nanoseconds. Returns 1 if the user gave it, 0 if it
 * is the default. */
int tally_config_interval(const tally_config *config, uint64_t *ret_ns);

/* The first (or only) value of an option as text, the default if none was
 * given; "" for an empty list. Valid until the option is set again. NULL for a
 * name that is no option. */
const char *tally_config_get(const tally_config *config, const char *name);

/* ---- The catalogue of metrics -------------------------------------------- */

enum tally_kind {
    TALLY_GAUGE,
    TALLY_COUNTER /* never falls while the group exists */
};

/* The unit of a raw value. */
enum tally_unit {
    TALLY_COUNT,
    TALLY_SIGNED,      /* a count that may be negative: read it as int64_t */
    TALLY_BYTES,
    TALLY_NANOSECONDS, /* shown as seconds */
    TALLY_UNIX_NS,     /* a moment: nanoseconds since 1970; shown as seconds */
    TALLY_RATIO        /* billionths: 1000000000 is 1 */
};

/* Sets of Prometheus names; the option `schema` chooses one. */
enum tally_schema {
    TALLY_SCHEMA_NATIVE,
    TALLY_SCHEMA_PROCESS_EXPORTER,
    TALLY_SCHEMA_PROCESS,
    TALLY_SCHEMAS
};

/* How a dialect shows a value, where not in the metric's natural form (counts
 * and bytes whole, times in seconds, ratios as 0..1). */
enum tally_form {
    TALLY_NATURAL,
    TALLY_PERCENT,      /* of a ratio */
    TALLY_MICROSECONDS, /* of a time; whole */
    TALLY_WHOLE_NS,     /* of a moment; whole */
    TALLY_UPTIME        /* of a moment: seconds from then to the snapshot */
};

/* A metric's name in one agent's dialect; name NULL: it has none there. */
struct tally_prometheus_name {
    const char *name;  /* without prefix */
    const char *label; /* NULL, or the label that tells rows of one family apart */
    const char *value; /* … and its value for this row */
    enum tally_form form;
    const char *help;  /* of the family; NULL: the metric's own */
};
struct tally_influx_name {
    const char *field;
    enum tally_form form;
};
struct tally_collectd_name {
    const char *type;     /* from the stock types.db */
    const char *instance; /* type_instance, may be "" */
    unsigned index;       /* which data source of the type */
    enum tally_form form;
};

struct tally_metric {
    const char *id; /* unique; what --list-metrics shows */
    enum tally_kind kind;
    enum tally_unit unit;
    bool about_self; /* about the collector, not about a group */
    const char *help; /* ends without a full stop */
    struct tally_prometheus_name prometheus[TALLY_SCHEMAS]; /* about_self: native in all */
    struct tally_influx_name influx;
    struct tally_collectd_name collectd;
};

/* All metrics; rows of one Prometheus family stand together, as do those of
 * one collectd type and instance. A metric is named by its index here. */
const struct tally_metric *tally_metrics(size_t *ret_count);

/* ---- Collecting ----------------------------------------------------------- */

/* A collector for this configuration (which may be freed afterwards). Opens
 * /proc, and reads the state file if one is configured: a state file that can't
 * be used is set aside (renamed to NAME.rejected) and counting starts afresh;
 * tally_notice() tells. -EINVAL, -ENOENT (no /proc there), -EACCES, -ENOMEM;
 * error is filled on failure. */
int tally_new(const tally_config *config, tally **ret_tally, struct tally_error *error);
tally *tally_free(tally *t);

/* Takes away what the option `pin` has left in the kernel, and the directory if it
 * is empty then. -ENOENT if nothing of proctally is pinned there, else -errno;
 * error is filled on failure. */
int tally_unpin(const char *dir, struct tally_error *error);

/* In a one-shot run without a state file there is no earlier collection to
 * count from. After this call the first collection shows, for each process
 * that is alive, what it used in its whole life. Call it before the first
 * collection. */
void tally_count_lifetimes(tally *t);

/* Collects once. The snapshot belongs to the collector and is valid until the
 * next call on it. With a state file, the state is saved before this returns,
 * so that no number that was published can be forgotten by a crash; failing to
 * save it is a notice, not an error. Returns 0, or -errno if /proc itself
 * can't be read (nothing that was counted is lost; call again later). */
int tally_collect(tally *t, const tally_snapshot **ret_snapshot);

/* Did the last collection save the state? False without a state file. */
bool tally_state_is_saved(const tally *t);

/* The next thing that a person should be told about: each condition is told once
 * until it has gone away. Returns false if there is nothing more. Text as in
 * struct tally_error. */
bool tally_notice(tally *t, struct tally_error *ret_text);

/* Takes over the tallies and the last-seen values of another collector, for a
 * change of configuration without a gap: processes are classified anew under
 * t's rules. Call it before t's first collection. -EBUSY after it, -ENOMEM. */
int tally_inherit(tally *t, const tally *from);

/* Embedders may sort processes themselves: asked after the filters and before
 * the rules, once per process and again when its identity can have changed.
 * Write a name of at most `size` bytes (no NUL needed) and return its length;
 * return 0 to leave the process to the rules. `cmdline` has NUL bytes between
 * the arguments. Call it before the first collection. */
struct tally_process_view {
    pid_t pid, ppid;
    uid_t uid;
    const char *name;    /* comm */
    const char *user;
    const char *exe;     /* "" if it can't be read */
    const char *cgroup;
    const char *cmdline; /* cmdline_len bytes */
    size_t cmdline_len;
};
typedef size_t tally_grouper(void *data, const struct tally_process_view *process, char *name,
                             size_t size);
void tally_set_grouper(tally *t, tally_grouper *grouper, void *data);

/* ---- Reading a snapshot ---------------------------------------------------- */

/* When the snapshot was taken, nanoseconds since 1970. */
uint64_t tally_snapshot_time(const tally_snapshot *s);

/* The groups, sorted by name; a group is named by its index below. */
size_t tally_snapshot_groups(const tally_snapshot *s);
/* Valid UTF-8 without control characters, unique in the snapshot. */
const char *tally_snapshot_group_name(const tally_snapshot *s, size_t group);
/* The i-th label besides groupname ("user", "unit" …), or false. */
bool tally_snapshot_label(const tally_snapshot *s, size_t group, size_t i, const char **ret_key,
                          const char **ret_value);

/* One value in the metric's unit. For a metric about_self the group is
 * ignored. Returns false if it is not known (which is not 0). */
bool tally_snapshot_value(const tally_snapshot *s, size_t group, size_t metric,
                          uint64_t *ret_value);

/* A value as a dialect shows it: whole + billionths / 1e9, negated if so. */
struct tally_number {
    bool negative;
    bool is_whole; /* never has a fraction, whatever its value */
    uint64_t whole;
    uint32_t billionths;
};
struct tally_number tally_present(const tally_snapshot *s, const struct tally_metric *metric,
                                  enum tally_form form, uint64_t value);

/* ---- Encoders --------------------------------------------------------------- */

/* Text of the whole snapshot. *ret_text belongs to the collector and is valid
 * until its next collection or encoding. -ENOMEM, -E2BIG past 1 GiB.
 *
 * Prometheus text format 0.0.4, with the names of the configured schema. */
int tally_encode_prometheus(tally *t, const char **ret_text, size_t *ret_len);
/* InfluxDB line protocol, one line per group and one about the collector, all
 * with the snapshot's time in nanoseconds. */
int tally_encode_influx(tally *t, const char **ret_text, size_t *ret_len);

/* ---- For people -------------------------------------------------------------- */

/* Collects, then writes in plain words which filter, rule or ancestor decides
 * about a process, and why the others do not. Text as above. -ESRCH. */
int tally_explain(tally *t, pid_t pid, const char **ret_text, size_t *ret_len);

/* ---- A file that is whole at any moment ---------------------------------------- */

/* Replaces a file: writes to a hidden file beside it (NAME starts with '.' and
 * ends in ".tmp"), then renames. Two writers of one file exclude each other
 * (-EBUSY). `durable` adds fsync(2). On failure the old file is untouched and
 * nothing is left behind. -ENOTSUP: what has that name is no regular file. */
int tally_replace_file(const char *path, const void *data, size_t len, mode_t mode, bool durable);

#ifdef __cplusplus
}
#endif

#endif
