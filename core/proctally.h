/* SPDX-License-Identifier: MIT */
/*
 * proctally: what did each group of processes on this host use?
 *
 * Ownership, in one sentence: every tally_*_new() is released by its
 * tally_*_free() (which accepts NULL and returns NULL), a snapshot that you want
 * to keep by tally_snapshot_unref(), and everything else that a function hands
 * out belongs to the object that it was asked of.
 *
 * Errors are negative errno values. Outputs are `ret_` parameters, written
 * only on success. The library never prints, logs, exits, aborts, and touches
 * neither the locale nor signals.
 *
 * Threads: one object is used by one thread at a time, and different objects are
 * independent of each other. The exception is a snapshot: it never changes, so any
 * number of threads may read and encode it, also while its collector makes the next.
 *
 * Growing: structs that this library hands out get new members at their end, and are
 * only ever reached by pointer; structs that you fill begin with their size. Enums get
 * new values at their end.
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

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

typedef struct tally_config tally_config;
typedef struct tally tally;
typedef struct tally_snapshot tally_snapshot;
typedef struct tally_text tally_text;

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
    TALLY_OPTION_WORDS,  /* any of the choices; or, without choices, of what the help says */
    TALLY_OPTION_TEXT,
    TALLY_OPTION_TEXTS,
    TALLY_OPTION_PAIRS, /* KEY=VALUE; a mapping in YAML */
    TALLY_OPTION_RULES
};

struct tally_option {
    const char *name;          /* as in YAML and after "--": "group-by" */
    const char *argument;      /* what it takes, for --help: "DURATION" */
    const char *default_value; /* as a user would write it; may be "" */
    const char *help;          /* one or two sentences, without a newline */
    enum tally_option_type type;
    bool repeatable;            /* may be given several times; values add up */
    const char *const *choices; /* ended by NULL; or NULL */
};

/* The options by number, in the order in which help and documentation show them;
 * NULL past the last. They are constant, and live as long as the program. */
const struct tally_option *tally_option(size_t number);
/* The option of this name, in which '-' and '_' are the same; NULL: none. */
const struct tally_option *tally_option_find(const char *name);

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

/* Gives one option one value, written as in the YAML file; for a repeatable option
 * each call adds an element (group-by, collect and metrics also take several, separated
 * by commas; an empty value empties the list). "process_names" takes YAML (or
 * JSON) text. -EINVAL, -ENOENT for a name that is no option, -ENOTSUP, -ENOMEM;
 * error is filled on failure. */
int tally_config_set(tally_config *config, const char *name, const char *value,
                     struct tally_error *error);

/* One rule of process_names. Lists are arrays of `count` strings; an empty list
 * is a selector that was not given. At least one selector is needed, and all that are given
 * have to match. */
struct tally_strings {
    const char *const *items;
    size_t count;
};
struct tally_rule {
    size_t size;                  /* sizeof(struct tally_rule) */
    const char *name;             /* template; NULL: "{{.ExeBase}}" */
    struct tally_strings comm;    /* exact, or a glob written "glob:GLOB"; any of */
    struct tally_strings exe;     /* the same of argv[0]: base name, or whole if there is a '/' */
    struct tally_strings cmdline; /* regular expressions, all must match */
    struct tally_strings user;    /* names (or globs as above) or numbers of the effective user */
    struct tally_strings cgroup;  /* paths: the path itself, what is below it, or a glob; any of */
    struct tally_strings unit;    /* systemd units, exact or a glob; any of */
    struct tally_strings gid;     /* the same of the effective group */
    struct tally_strings pid_file; /* paths of files with the process's number in them; any of.
                                    * At most 64 in all rules */
    struct tally_strings kernel;  /* "true": threads of the kernel's own; "false": all others */
    /* And nothing of these selectors; NULL: not given. It has only selectors, and a size. */
    const struct tally_rule *unless;
    /* And one of its ancestors, however far up, has all of these; as with unless. At most 32 in
     * all rules. */
    const struct tally_rule *parent;
    bool drop; /* what it takes is left out; then there is no name */
};

/* Adds a rule behind those that are there. Copies what it needs.
 * -EINVAL with error filled, -E2BIG (what this library does not know is not 0),
 * -ENOTSUP (cmdline in a build without PCRE2), -ENOMEM. */
int tally_config_add_rule(tally_config *config, const struct tally_rule *rule,
                          struct tally_error *error);

/* The option `interval` in nanoseconds. Returns 1 if the user gave it, 0 if it
 * is the default. */
int tally_config_interval(const tally_config *config, uint64_t *ret_ns);

/* The first (or only) value of an option as text, the default if none was
 * given; "" for an empty list. Valid until the option is set again. NULL for a
 * name that is no option. */
const char *tally_config_get(const tally_config *config, const char *name);

/* Did the user give it, in a file or by tally_config_set()? */
bool tally_config_is_given(const tally_config *config, const char *name);

/* What only the whole tells: options that do not go with each other. tally_new() looks, too.
 * -EINVAL, with error filled. */
int tally_config_check(const tally_config *config, struct tally_error *error);
/* Will snapshots have this metric, as far as that is up to the options collect and metrics? */
bool tally_config_has_metric(const tally_config *config, size_t metric);

/* What is taken but hardly meant, such as a rule that can never match: the i-th such
 * remark, or false if there are no more. Asking for the first one looks at all that is set
 * by then. Text as in struct tally_error. */
bool tally_config_warning(tally_config *config, size_t i, struct tally_error *ret_text);

/* ---- The catalogue of metrics -------------------------------------------- */

enum tally_kind {
    TALLY_KIND_GAUGE,
    TALLY_KIND_COUNTER /* never falls while the group exists */
};

/* The unit of a raw value. */
enum tally_unit {
    TALLY_UNIT_COUNT,
    TALLY_UNIT_SIGNED, /* a count that may be negative: read it as int64_t */
    TALLY_UNIT_BYTES,
    TALLY_UNIT_NS,      /* a time in nanoseconds; shown as seconds */
    TALLY_UNIT_UNIX_NS, /* a moment: nanoseconds since 1970; shown as seconds */
    TALLY_UNIT_RATIO    /* billionths: 1000000000 is 1 */
};

/* What has a value of the metric. */
enum tally_scope {
    TALLY_SCOPE_GROUP, /* groups; most of them single processes too */
    TALLY_SCOPE_SELF,  /* the collector */
    TALLY_SCOPE_HOST,  /* the host; only in snapshots that keep it, and in no agent */
    TALLY_SCOPE_THREAD_NAME, /* the threads of a group that have one name: tally_snapshot_parts() */
    TALLY_SCOPE_WAIT_CHANNEL /* the threads of a group that wait in one place: the same */
};

struct tally_metric {
    const char *id; /* unique; what --list-metrics shows */
    const char *help; /* ends without a full stop */
    enum tally_kind kind;
    enum tally_unit unit;
    enum tally_scope scope;
};

/* The metrics by number, by which they are named below; NULL past the last. Those of
 * one scope stand together, and among them the rows of one Prometheus family, and those
 * of one collectd type and instance. Constant, as the options are. */
const struct tally_metric *tally_metric(size_t number);
/* The number of the metric with this id; -ENOENT. */
int tally_metric_find(const char *id, size_t *ret_number);

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
    TALLY_FORM_NATURAL,
    TALLY_FORM_PERCENT,      /* of a ratio */
    TALLY_FORM_MICROSECONDS, /* of a time; whole */
    TALLY_FORM_WHOLE_NS,     /* of a moment; whole */
    TALLY_FORM_UPTIME        /* of a moment: seconds from then to the snapshot */
};

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

/* A metric's name in one agent's dialect; NULL: it has none there. Metrics about the
 * collector have their native name in all schemas. */
const struct tally_prometheus_name *tally_metric_prometheus(size_t metric,
                                                            enum tally_schema schema);
const struct tally_influx_name *tally_metric_influx(size_t metric);
const struct tally_collectd_name *tally_metric_collectd(size_t metric);

/* ---- Collecting ----------------------------------------------------------- */

/* Embedders may sort processes themselves: asked after the filters and before
 * the rules, once per process and again when its identity can have changed.
 * Write a name of at most `size` bytes (no NUL needed) and return its length, or that of
 * what would not fit; it is cleaned as all names are, and cut. Return 0 to leave the process to the rules.
 * Texts are valid during the call. */
struct tally_process_view {
    /* 0 for processes that came and went between two collections. Source bpf adds up
     * those that look the same, and asks once for all of them. */
    pid_t pid, ppid;
    uid_t uid;
    const char *name; /* comm */
    const char *user;
    const char *exe; /* "" if it can't be read */
    const char *cgroup;
    const char *cmdline; /* cmdline_len bytes, NUL bytes between the arguments */
    size_t cmdline_len;
};
typedef size_t tally_grouper(void *data, const struct tally_process_view *process, char *name,
                             size_t size);

/* What a snapshot is to hold besides the groups. */
enum tally_keep {
    TALLY_KEEP_PROCESSES = 1 << 0, /* tally_snapshot_process() */
    TALLY_KEEP_HOST = 1 << 1,      /* metrics with TALLY_SCOPE_HOST */
    /* With a brief look: command lines, of the same moment, and for less than it costs to read
     * each of them later. */
    TALLY_KEEP_CMDLINES = 1 << 2,
    TALLY_KEEP_ENDED = 1 << 3 /* tally_snapshot_ended() */
};

/* How to begin; what is 0 is left out. */
struct tally_new_opts {
    size_t size; /* sizeof(struct tally_new_opts) */
    tally_grouper *grouper;
    void *grouper_data;
    /* Without a state file there is no earlier collection to count from. With this the
     * first one shows, for each process that is alive, what it used in its whole life. */
    bool count_lifetimes;
    /* Takes over the tallies and the last-seen values of another collector, for a change
     * of configuration without a gap: processes are classified anew under the new rules.
     * The state file is not read then. When all is ready the other one collects once more, and
     * may be freed then. With source bpf and programs that are loaded anew this one collects
     * at once as well: what starts between these two collections and is over before the
     * second is lost, some milliseconds' worth. */
    tally *inherit;
    /* Counts these processes (64 at most) and all that descends from them, also those whose
     * parents have ended, and nothing else: everybody else is left out, whatever the rules.
     * None: off. tally_new() looks for them, so that all counts that they do from then on, and
     * -ESRCH says that one of them has ended before. Source procfs finds the descendants that
     * it sees alive; bpf all of them. */
    const pid_t *follow;
    size_t follow_count;
    /* Who gets the orphans of those that are followed as children and has no others but
     * these (see PR_SET_CHILD_SUBREAPER in prctl(2)): source procfs knows them by that.
     * 0: nobody. */
    pid_t adopter;
    unsigned keep; /* bits of enum tally_keep */
    /* Leaves nothing behind, neither in the state file, which is not read either, nor in the
     * kernel by `pin`: for a look beside the collector that does the counting. */
    bool only_looks;
    /* Source procfs reads less of each process, for half the price: what it is and who its
     * user is, CPU time, page faults, resident and virtual memory, the number of threads,
     * priority, and what `collect` has besides. Nothing tells such a collector which processes
     * slept, or ignore the ends of their children. */
    bool brief;
};

/* A collector for this configuration (which may be freed afterwards); opts may be NULL.
 * Opens /proc, and reads the state file if one is configured: a state file that can't
 * be used is set aside (renamed to NAME.rejected, or NAME.rejected.2 to .9 if that is
 * there; one of an earlier boot is not) and counting starts afresh;
 * tally_notice() tells. -EINVAL, -E2BIG (options that this library does not know are not
 * 0), -ENOENT (no /proc there), -ESRCH (no process to follow), -EACCES, -ENOMEM; error is
 * filled on failure. */
int tally_new(const tally_config *config, const struct tally_new_opts *opts, tally **ret_tally,
              struct tally_error *error);
tally *tally_free(tally *t);

/* Takes away what the option `pin` has left in the kernel, and the directory if it
 * is empty then. -ENOENT if nothing of proctally is pinned there, else -errno;
 * error is filled on failure. */
int tally_unpin(const char *dir, struct tally_error *error);

/* Collects once. The snapshot is lent until the next call on the collector; take a
 * reference to keep it. With a state file, the state is saved before this returns,
 * so that no number that was published can be forgotten by a crash; failing to
 * save it is a notice, not an error.
 *
 * With ret_snapshot NULL it only counts what there is to count: what is shown per interval
 * (CPU usage, coverage) still begins at the last collection that made a snapshot.
 *
 * Returns 0, or -errno if /proc itself can't be read or there is no memory (nothing that
 * was counted is lost; call again later). */
int tally_collect(tally *t, const tally_snapshot **ret_snapshot);

/* Did the last collection save the state? False without a state file. */
bool tally_state_is_saved(const tally *t);

/* The next thing that a person should be told about: each condition is told once
 * until it has gone away. Returns false if there is nothing more. Text as in
 * struct tally_error. */
bool tally_notice(tally *t, struct tally_error *ret_text);

/* ---- Reading a snapshot ---------------------------------------------------- */

/* A snapshot owns its values. While you hold a reference it stays as it is, whatever
 * becomes of its collector. Both may be called by any thread. */
const tally_snapshot *tally_snapshot_ref(const tally_snapshot *s);
const tally_snapshot *tally_snapshot_unref(const tally_snapshot *s); /* accepts and returns NULL */

/* When the snapshot was taken, nanoseconds since 1970. */
uint64_t tally_snapshot_time(const tally_snapshot *s);
/* The time since the one before it, nanoseconds; 0: it is the first. */
uint64_t tally_snapshot_interval(const tally_snapshot *s);
/* The option `prefix` without the underscores at its end: the measurement in Telegraf,
 * the plugin in collectd. */
const char *tally_snapshot_measurement(const tally_snapshot *s);

/* The groups, sorted by name; a group is named by its index below. */
size_t tally_snapshot_groups(const tally_snapshot *s);
/* Valid UTF-8 without control characters, unique in the snapshot. */
const char *tally_snapshot_group_name(const tally_snapshot *s, size_t group);
/* The i-th label besides groupname ("user", "unit" …), or false. */
bool tally_snapshot_label(const tally_snapshot *s, size_t group, size_t i, const char **ret_key,
                          const char **ret_value);

/* One value in the metric's unit. For a metric of another scope than the groups', `group`
 * is ignored. Returns false if it is not known (which is not 0). */
bool tally_snapshot_value(const tally_snapshot *s, size_t group, size_t metric,
                          uint64_t *ret_value);

/* What a group is divided into, sorted by name: with TALLY_SCOPE_THREAD_NAME the names of its
 * threads, if the option `collect` has thread-names; at most as many as max-thread-names, and
 * "other" for all else. A name stays while it has threads, and for `expire-after` after that.
 * With TALLY_SCOPE_WAIT_CHANNEL, under the same option, the functions of the kernel that
 * threads wait in. 0 for other scopes. */
size_t tally_snapshot_parts(const tally_snapshot *s, size_t group, enum tally_scope scope);
/* Valid UTF-8 without control characters, unique in the group. NULL past the last. */
const char *tally_snapshot_part_name(const tally_snapshot *s, size_t group,
                                     enum tally_scope scope, size_t i);
/* One value, of a metric of that scope. False: it is not known. */
bool tally_snapshot_part_value(const tally_snapshot *s, size_t group, size_t i, size_t metric,
                               uint64_t *ret_value);

/* The processes that were alive, by ascending pid, or those of them that are followed; 0 if
 * they were not kept. */
#define TALLY_NO_GROUP SIZE_MAX
struct tally_process {
    pid_t pid, ppid;
    uint64_t start_ns; /* since 1970; with the pid it is one incarnation */
    const char *name;  /* comm, cleaned as names of groups are */
    const char *user;  /* of the effective uid, by name; NULL: not known */
    uid_t uid;         /* if user is not NULL */
    char state;        /* as in /proc/PID/stat */
    uint32_t terminal; /* its device number as in /proc/PID/stat; 0: none */
    size_t group;      /* index of its group; TALLY_NO_GROUP: left out, or not shown */
    /* As with the terminal: it leads a session; it is of the process group that the terminal
     * takes its input for. */
    bool leads_session, in_foreground;
    /* It is known to ignore SIGCHLD, so that what its children have used is added to nobody's
     * account. Source bpf, which does without such accounts, does not tell. */
    bool ignores_children;
    /* Another one after execve(2), as far as the source can see it; 0: not known. */
    uint64_t exec_marker;
};
size_t tally_snapshot_processes(const tally_snapshot *s);
const struct tally_process *tally_snapshot_process(const tally_snapshot *s, size_t i);
/* With TALLY_KEEP_ENDED: of how many processes the end was told in this collection, whether an
 * earlier snapshot has shown them or not. They come after the others, at
 * tally_snapshot_processes() and what follows, in no order; with the counters at their end and
 * memory_rss_peak as their only metrics, with state X, with ppid 0 and an empty name where
 * these are not known any more. The kernel tells of an end a little after it, on a busy host
 * seconds. Source procfs is told of none; and bpf only of as many as its maps hold, half of the
 * option max-processes between two collections: beyond that, what has never been in a snapshot
 * is still counted, but not shown one by one. Of a process that has executed a program since it
 * was in a snapshot, or begun without having been in one, only a part is shown, though all is
 * counted: what it was in the snapshot; without one, what it was last. An end that is told in a
 * collection that fails, or makes no snapshot, is only counted. */
size_t tally_snapshot_ended(const tally_snapshot *s);
/* Any metric of the groups that one process has: counters are those of its life, as its
 * source counts them. False: it has none, or it is not known. */
bool tally_snapshot_process_value(const tally_snapshot *s, size_t i, size_t metric,
                                  uint64_t *ret_value);
/* What is not kept (TALLY_KEEP_CMDLINES) is read now, from /proc. Fills at most `size` bytes, without a NUL at
 * the end, and returns how many; a command line has NUL bytes between its arguments.
 * -ESRCH: the process has ended since; -EACCES, … */
enum tally_process_text {
    TALLY_PROCESS_CMDLINE,
    TALLY_PROCESS_EXE,   /* path of the program file */
    TALLY_PROCESS_CGROUP, /* one representative path */
    /* as in group-by; nothing where it is in none */
    TALLY_PROCESS_UNIT,
    TALLY_PROCESS_CONTAINER
};
ssize_t tally_snapshot_process_text(const tally_snapshot *s, size_t i,
                                    enum tally_process_text which, char *to, size_t size);

/* A value as a dialect shows it: whole + billionths / 1e9, negated if so. */
struct tally_number {
    bool negative;
    bool is_whole; /* never has a fraction, whatever its value */
    uint64_t whole;
    uint32_t billionths;
};
struct tally_number tally_present(const tally_snapshot *s, size_t metric, enum tally_form form,
                                  uint64_t value);
/* Such a value in decimal without the locale, with all digits that it has and no more, and a NUL
 * byte. `ret` has room for TALLY_NUMBER_SIZE. The length. */
#define TALLY_NUMBER_SIZE 32
size_t tally_number_text(struct tally_number number, char *ret);

/* ---- Encoders --------------------------------------------------------------- */

/* Room for text, to be used again and again; one for each thread that encodes. -ENOMEM. */
int tally_text_new(tally_text **ret_text);
tally_text *tally_text_free(tally_text *text);

/* Text of the whole snapshot, with the names and labels of its configuration. It is in
 * `to`, and valid until that is used again. -ENOMEM, -E2BIG past 1 GiB.
 *
 * Prometheus text format 0.0.4. */
int tally_encode_prometheus(const tally_snapshot *s, tally_text *to, const char **ret_data,
                            size_t *ret_len);
/* OpenMetrics 1.0.0. */
int tally_encode_openmetrics(const tally_snapshot *s, tally_text *to, const char **ret_data,
                             size_t *ret_len);
/* JSON, whatever the schema: one object with
 *   time      seconds since 1970
 *   interval  seconds since the snapshot before; not in the first
 *   self      an object of the metrics about the collector, by the catalogue's ids
 *   groups    an array of objects: name, labels (an object), metrics (an object by id), and
 *             with thread-names threads and wait_channels, arrays of objects: name, metrics
 * with values in their natural form; what is not known is left out. */
int tally_encode_json(const tally_snapshot *s, tally_text *to, const char **ret_data,
                      size_t *ret_len);
/* InfluxDB line protocol, one line per group (name of its threads, wait channel) and one about the
 * collector, all with the snapshot's time in nanoseconds. */
int tally_encode_influx(const tally_snapshot *s, tally_text *to, const char **ret_data,
                        size_t *ret_len);

/* ---- For people -------------------------------------------------------------- */

/* Collects, then writes in plain words which filter, rule or ancestor decides
 * about a process, and why the others do not. Text as above. -ESRCH. */
int tally_explain(tally *t, pid_t pid, tally_text *to, const char **ret_data, size_t *ret_len);

/* Collects, then writes what is in the group `other`: the names with most processes that did
 * not fit into max-groups (of many names these are estimates, and not too high), and the
 * groups that the option top does not show. Text as above. */
int tally_explain_other(tally *t, tally_text *to, const char **ret_data, size_t *ret_len);

/* Collects twice, then writes a table of the metrics, but for the host's: whether this
 * collector has them here, by which means, and which option, right or part of the kernel is
 * missing for those that it lacks, or lacks of some processes. Text as above. */
int tally_list_here(tally *t, tally_text *to, const char **ret_data, size_t *ret_len);

/* Makes collectors for this configuration with each word of `collect` and without it, and
 * writes a table of what that costs here: takes some seconds. What source bpf adds to the
 * beginnings and ends of processes and to packets is not in it. Text as above, and error is
 * filled on failure; errors as of tally_new(). */
int tally_explain_cost(const tally_config *config, tally_text *to, const char **ret_data,
                       size_t *ret_len, struct tally_error *error);

/* ---- A file that is whole at any moment ---------------------------------------- */

/* Replaces a file: writes to a hidden file beside it (NAME starts with '.' and
 * ends in ".tmp"), then renames. Two writers of one file exclude each other
 * (-EBUSY). `durable` adds fsync(2). On failure the old file is untouched and
 * nothing is left behind. -ENOTSUP: what has that name is no regular file. */
int tally_replace_file(const char *path, const void *data, size_t len, mode_t mode, bool durable);
/* The name of that hidden file. -EISDIR, -ENAMETOOLONG. */
int tally_temporary_name(const char *path, char *ret, size_t size);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
