/* SPDX-License-Identifier: MIT */
#include "source/linux/parse.h"

#include "base/line.h"

#include <errno.h>
#include <string.h>

/* A line's key or another constant, with its length for memcmp(). */
#define TEXT(literal) (literal), sizeof(literal) - 1

/* ---- Numbers --------------------------------------------------------------- */

/* isdigit() and its kin ask the locale, which belongs to the host program. */
static inline bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static inline bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

static inline bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* From here on a number that is too large is -EBADMSG, like everything else
 * that the kernel would not print. */

static inline const char *skip_blanks(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

/* "\t123" */
static inline int value_u64(const char *p, const char *eol, uint64_t *ret) {
    p = skip_blanks(p, eol);
    return parse_u64(&p, eol, ret) < 0 ? -EBADMSG : 0;
}

/* "\t     123 kB" in bytes. The unit is required: without it the line was cut
 * short, possibly in the middle of the number. */
static int value_kib(const char *p, const char *eol, uint64_t *ret_bytes) {
    uint64_t n;

    p = skip_blanks(p, eol);
    if (parse_u64(&p, eol, &n) < 0 || eol - p < 3 || memcmp(p, " kB", 3) != 0 ||
        n > UINT64_MAX / 1024)
        return -EBADMSG;
    *ret_bytes = n * 1024;
    return 0;
}

/* "\treal\teffective\tsaved\tfilesystem" */
static int value_effective_id(const char *p, const char *eol, uint32_t *ret) {
    uint64_t n;

    p = skip_blanks(p, eol);
    if (parse_u64(&p, eol, &n) < 0 || value_u64(p, eol, &n) < 0 || n > UINT32_MAX)
        return -EBADMSG;
    *ret = (uint32_t)n;
    return 0;
}

/* A set of signals, signal 1 in the lowest bit: 16 hex digits, but 32 on MIPS,
 * which has 128 signals. There only real-time signals are beyond 64: dropped. */
static int value_sigset(const char *p, const char *eol, uint64_t *ret) {
    const char *first = p = skip_blanks(p, eol);
    uint64_t n = 0;

    for (; p < eol && is_hex(*p); p++)
        n = n << 4 | (uint64_t)(is_digit(*p) ? *p - '0' : *p - 'a' + 10);
    if (p - first != 16 && p - first != 32)
        return -EBADMSG;
    *ret = n;
    return 0;
}

/* ---- Lines ------------------------------------------------------------------ */

/* What stands behind the key that the line begins with, or NULL. */
static inline const char *after(const char *line, const char *eol, const char *key, size_t len) {
    return (size_t)(eol - line) >= len && memcmp(line, key, len) == 0 ? line + len : NULL;
}

/* ---- /proc/PID/stat ---------------------------------------------------------- */

/* In `stat` exactly one space stands before each field. */
static inline bool field_u64(const char **cursor, const char *end, uint64_t *ret) {
    if (*cursor == end || **cursor != ' ')
        return false;
    ++*cursor;
    return parse_u64(cursor, end, ret) == 0;
}

static inline bool field_u32(const char **cursor, const char *end, uint32_t *ret) {
    uint64_t n;

    if (!field_u64(cursor, end, &n) || n > UINT32_MAX)
        return false;
    *ret = (uint32_t)n;
    return true;
}

static inline bool field_i64(const char **cursor, const char *end, int64_t *ret) {
    const char *p = *cursor;
    bool negative;
    uint64_t n;

    if (p == end || *p != ' ')
        return false;
    p++;
    negative = p < end && *p == '-';
    if (negative)
        p++;
    if (parse_u64(&p, end, &n) < 0 || n > (uint64_t)INT64_MAX + negative)
        return false;
    *cursor = p;
    /* -2^63 is a value, 2^63 is none */
    *ret = negative && n > 0 ? -(int64_t)(n - 1) - 1 : (int64_t)n;
    return true;
}

static inline bool at_line_end(const char *p, const char *end) {
    return p == end || *p == '\n' || *p == '\r';
}

/* The value of a field that nobody asks for may be anything: rsslim is above
 * 2^63 as a rule, tpgid is -1 without a terminal, exit_signal -1 in threads.
 * Returns 1, or 0 (with the cursor at the end of the line) if the line ended first. */
static inline int skip_fields(const char **cursor, const char *end, unsigned count) {
    const char *p = *cursor;

    for (; count > 0; count--) {
        const char *first;

        if (p == end || *p != ' ') {
            *cursor = p;
            return at_line_end(p, end) ? 0 : -EBADMSG;
        }
        p++;
        if (p < end && *p == '-')
            p++;
        for (first = p; p < end && is_digit(*p); p++)
            ;
        if (p == first)
            return -EBADMSG;
    }
    *cursor = p;
    return 1;
}

/* Of the fields that older kernels do not have, passes over `skip` and reads
 * one. Returns 1 if it was there, 0 as skip_fields(). */
static inline int late_field(const char **cursor, const char *end, unsigned skip, uint64_t *ret) {
    int r = skip_fields(cursor, end, skip);

    if (r <= 0)
        return r;
    if (at_line_end(*cursor, end))
        return 0;
    return field_u64(cursor, end, ret) ? 1 : -EBADMSG;
}

int parse_stat(const char *buf, size_t len, struct stat_line *ret) {
    struct stat_line s = {0};
    const char *p = buf, *end = buf + len, *close = NULL;
    uint64_t pid;
    int64_t group, session, terminal, foreground;
    int r;

    if (parse_u64(&p, end, &pid) < 0 || pid > UINT32_MAX || end - p < 2 || p[0] != ' ' ||
        p[1] != '(')
        return -EBADMSG;
    s.pid = (uint32_t)pid;
    s.comm = p + 2;

    /* The kernel prints the name raw, so only the last ')' is known to be its
     * own: no field behind the name holds one. (memrchr() is not in C.) */
    for (p = s.comm; (p = memchr(p, ')', (size_t)(end - p))) != NULL; p++)
        close = p;
    if (!close)
        return -EBADMSG;
    s.comm_len = (size_t)(close - s.comm);

    p = close + 1;
    if (end - p < 2 || p[0] != ' ' || !is_letter(p[1]))
        return -EBADMSG;
    s.state = p[1];
    p += 2;

    if (!field_u32(&p, end, &s.ppid) || !field_i64(&p, end, &group) || !field_i64(&p, end, &session) ||
        !field_i64(&p, end, &terminal) || !field_i64(&p, end, &foreground) ||
        !field_u32(&p, end, &s.flags) || !field_u64(&p, end, &s.minflt) ||
        !field_u64(&p, end, &s.cminflt) || !field_u64(&p, end, &s.majflt) ||
        !field_u64(&p, end, &s.cmajflt) || !field_u64(&p, end, &s.utime_ticks) ||
        !field_u64(&p, end, &s.stime_ticks) || !field_u64(&p, end, &s.cutime_ticks) ||
        !field_u64(&p, end, &s.cstime_ticks) || !field_i64(&p, end, &s.priority) ||
        !field_i64(&p, end, &s.nice) || !field_u64(&p, end, &s.threads) ||
        skip_fields(&p, end, 1) <= 0 || /* itrealvalue */
        !field_u64(&p, end, &s.start_ticks) || !field_u64(&p, end, &s.vsize_bytes) ||
        !field_u64(&p, end, &s.rss_pages))
        return -EBADMSG;

    /* Once the line has ended the cursor stays there, and the rest is missing. */
    if (late_field(&p, end, 1, &s.start_code) < 0 || /* behind rsslim */
        late_field(&p, end, 1, &s.start_stack) < 0)  /* behind endcode */
        return -EBADMSG;
    r = late_field(&p, end, 13, &s.blkio_delay_ticks); /* kstkesp … policy */
    s.has_blkio_delay = r > 0;
    if (r < 0 || late_field(&p, end, 2, &s.start_data) < 0 || /* both guest times */
        late_field(&p, end, 2, &s.arg_start) < 0)             /* end_data, start_brk */
        return -EBADMSG;

    s.terminal = (uint32_t)terminal; /* printed as an int, though it is none */
    s.leads_session = session == s.pid;
    s.in_foreground = foreground == group;
    *ret = s;
    return 0;
}

size_t comm_len_of(const struct stat_line *stat) {
    static const char worker[] = "kworker/";
    size_t at = sizeof(worker) - 1, len = stat->comm_len;
    if (!(stat->flags & PF_KTHREAD) || len <= at || memcmp(stat->comm, worker, at) != 0)
        return len;
    const char *colon = memchr(stat->comm, ':', len);
    if (!colon) /* a rescuer, "kworker/R-NAME": named for good */
        return len;
    for (at = (size_t)(colon - stat->comm); at < len; at++)
        if (stat->comm[at] == '-' || stat->comm[at] == '+')
            return at;
    return len;
}

int parse_stat_ignored(const char *buf, size_t len, uint64_t *ret_set) {
    const char *end = buf + len, *p = buf, *close = NULL;
    for (; (p = memchr(p, ')', (size_t)(end - p))) != NULL; p++)
        close = p;
    if (!close || end - close < 3)
        return -EBADMSG;
    p = close + 3; /* behind the state */
    if (skip_fields(&p, end, 29) <= 0 || !field_u64(&p, end, ret_set))
        return -EBADMSG;
    return 0;
}

/* ---- /proc/PID/status --------------------------------------------------------- */

int parse_status(const char *buf, size_t len, struct status_file *ret) {
    struct status_file s = {0};
    const char *cursor = buf, *end = buf + len, *line, *eol, *v;
    uint64_t exe_bytes = 0, lib_bytes = 0;
    bool has_uid = false, has_gid = false, has_voluntary = false, has_involuntary = false;

    /* About 60 lines, of which 12 matter: the first byte rules most of the others
     * out. The name can't pose as a line: the kernel escapes its newlines here. */
    while ((line = take_line(&cursor, end, &eol)) != NULL) {
        int r = 0;

        switch (*line) {
        case 'S':
            if ((v = after(line, eol, TEXT("SigIgn:"))) != NULL) {
                r = value_sigset(v, eol, &s.sigign);
            } else if ((v = after(line, eol, TEXT("State:"))) != NULL) {
                v = skip_blanks(v, eol);
                if (v == eol || !is_letter(*v))
                    return -EBADMSG;
                s.state = *v;
            }
            break;
        case 'U':
            if ((v = after(line, eol, TEXT("Uid:"))) != NULL) {
                r = value_effective_id(v, eol, &s.uid);
                has_uid = true;
            }
            break;
        case 'G':
            if ((v = after(line, eol, TEXT("Gid:"))) != NULL) {
                r = value_effective_id(v, eol, &s.gid);
                has_gid = true;
            }
            break;
        case 'V':
            /* The kernel prints all Vm lines or, without an address space, none. Its
             * emulations print some; what is missing there counts as 0. */
            if (eol - line < 3 || line[1] != 'm')
                break;
            s.has_memory = true;
            switch (line[2]) {
            case 'D':
                if ((v = after(line, eol, TEXT("VmData:"))) != NULL)
                    r = value_kib(v, eol, &s.data_bytes);
                break;
            case 'E':
                if ((v = after(line, eol, TEXT("VmExe:"))) != NULL)
                    r = value_kib(v, eol, &exe_bytes);
                break;
            case 'H':
                if ((v = after(line, eol, TEXT("VmHWM:"))) != NULL) {
                    r = value_kib(v, eol, &s.rss_peak_bytes);
                    s.has_rss_peak = true;
                }
                break;
            case 'L':
                if ((v = after(line, eol, TEXT("VmLib:"))) != NULL)
                    r = value_kib(v, eol, &lib_bytes);
                break;
            case 'R':
                if ((v = after(line, eol, TEXT("VmRSS:"))) != NULL) {
                    r = value_kib(v, eol, &s.rss_bytes);
                    s.has_rss = true;
                }
                break;
            case 'S':
                if ((v = after(line, eol, TEXT("VmStk:"))) != NULL) {
                    r = value_kib(v, eol, &s.stack_bytes);
                } else if ((v = after(line, eol, TEXT("VmSwap:"))) != NULL) {
                    r = value_kib(v, eol, &s.swap_bytes);
                    s.has_swap = true; /* since Linux 2.6.34 */
                }
                break;
            }
            break;
        case 'R':
            if ((v = after(line, eol, TEXT("RssAnon:"))) != NULL) {
                r = value_kib(v, eol, &s.anon_bytes);
                s.has_anon = true; /* since Linux 4.5 */
            }
            break;
        case 'v':
            if ((v = after(line, eol, TEXT("voluntary_ctxt_switches:"))) != NULL) {
                r = value_u64(v, eol, &s.voluntary_switches);
                has_voluntary = true;
            }
            break;
        case 'n':
            if ((v = after(line, eol, TEXT("nonvoluntary_ctxt_switches:"))) != NULL) {
                r = value_u64(v, eol, &s.involuntary_switches);
                has_involuntary = true;
            }
            break;
        }
        if (r < 0)
            return r;
    }

    if (s.state == '\0' || exe_bytes > UINT64_MAX - lib_bytes)
        return -EBADMSG;
    s.code_bytes = exe_bytes + lib_bytes;
    s.has_ids = has_uid && has_gid;
    s.has_switches = has_voluntary && has_involuntary;
    *ret = s;
    return 0;
}

int parse_status_memory(const char *buf, size_t len, struct status_memory *ret) {
    static const struct {
        const char *key;
        size_t len;
    } lines[MEMORY_LINES] = {
        [MEMORY_LINE_FILE] = {TEXT("RssFile:")},
        [MEMORY_LINE_SHMEM] = {TEXT("RssShmem:")},
        [MEMORY_LINE_LOCKED] = {TEXT("VmLck:")},
        [MEMORY_LINE_PAGE_TABLES] = {TEXT("VmPTE:")},
    };
    struct status_memory m = {0};
    const char *cursor = buf, *end = buf + len, *line, *eol, *v;
    while ((line = take_line(&cursor, end, &eol)) != NULL) {
        if (*line != 'R' && *line != 'V')
            continue;
        for (size_t i = 0; i < MEMORY_LINES; i++) {
            if ((v = after(line, eol, lines[i].key, lines[i].len)) == NULL)
                continue;
            int r = value_kib(v, eol, &m.bytes[i]);
            if (r < 0)
                return r;
            m.known |= 1u << i;
        }
    }
    *ret = m;
    return 0;
}

/* ---- The other files of a process ---------------------------------------------- */

int parse_io(const char *buf, size_t len, struct io_file *ret) {
    struct io_file s = {0};
    const char *cursor = buf, *end = buf + len, *line, *eol, *v;
    unsigned seen = 0;

    while ((line = take_line(&cursor, end, &eol)) != NULL) {
        uint64_t *to;
        unsigned bit;

        if ((v = after(line, eol, TEXT("rchar:"))) != NULL) {
            to = &s.rchar;
            bit = 1;
        } else if ((v = after(line, eol, TEXT("wchar:"))) != NULL) {
            to = &s.wchar;
            bit = 2;
        } else if ((v = after(line, eol, TEXT("syscr:"))) != NULL) {
            to = &s.syscr;
            bit = 4;
        } else if ((v = after(line, eol, TEXT("syscw:"))) != NULL) {
            to = &s.syscw;
            bit = 8;
        } else if ((v = after(line, eol, TEXT("read_bytes:"))) != NULL) {
            to = &s.read_bytes;
            bit = 16;
        } else if ((v = after(line, eol, TEXT("write_bytes:"))) != NULL) {
            to = &s.write_bytes;
            bit = 32;
        } else {
            continue; /* cancelled_write_bytes, and what may come */
        }
        if (value_u64(v, eol, to) < 0)
            return -EBADMSG;
        seen |= bit;
    }
    if (seen != 63)
        return -EBADMSG;
    *ret = s;
    return 0;
}

int parse_schedstat(const char *buf, size_t len, struct schedstat_file *ret) {
    const char *p = buf, *end = buf + len;
    struct schedstat_file file;

    if (parse_u64(&p, end, &file.run_ns) < 0 || !field_u64(&p, end, &file.wait_ns) ||
        !field_u64(&p, end, &file.slices))
        return -EBADMSG;
    *ret = file;
    return 0;
}

int parse_oom_score(const char *buf, size_t len, uint64_t *ret_score) {
    const char *p = buf, *end = buf + len;
    uint64_t score;
    if (parse_u64(&p, end, &score) < 0 || (p < end && *p != '\n'))
        return -EBADMSG;
    *ret_score = score;
    return 0;
}

int parse_fd_limit(const char *buf, size_t len, uint64_t *ret_limit) {
    const char *cursor = buf, *end = buf + len, *line, *eol, *p;

    while ((line = take_line(&cursor, end, &eol)) != NULL) {
        const char *behind;
        uint64_t limit = UINT64_MAX;

        if ((p = after(line, eol, TEXT("Max open files "))) == NULL)
            continue;
        p = skip_blanks(p, eol);
        if ((behind = after(p, eol, TEXT("unlimited"))) != NULL)
            p = behind;
        else if (parse_u64(&p, eol, &limit) < 0)
            return -EBADMSG;
        /* The hard limit stands behind it, a space away. */
        if (p == eol || *p != ' ')
            return -EBADMSG;
        *ret_limit = limit;
        return 0;
    }
    return -EBADMSG;
}

int parse_statm(const char *buf, size_t len, uint64_t *ret_rss_pages) {
    const char *cursor = buf, *end = buf + len;
    uint64_t all_pages, rss_pages;
    if (parse_u64(&cursor, end, &all_pages) < 0 || !field_u64(&cursor, end, &rss_pages) ||
        cursor == end || *cursor != ' ')
        return -EBADMSG;
    *ret_rss_pages = rss_pages;
    return 0;
}

int parse_pss(const char *buf, size_t len, struct pss *ret) {
    const char *cursor = buf, *end = buf + len, *line, *eol, *v;
    struct pss pss = {0};
    bool has_resident = false;

    while (!(has_resident && pss.has_swap) && (line = take_line(&cursor, end, &eol)) != NULL) {
        int r = 0;

        if ((v = after(line, eol, TEXT("Pss:"))) != NULL) {
            r = value_kib(v, eol, &pss.bytes);
            has_resident = true;
        } else if ((v = after(line, eol, TEXT("SwapPss:"))) != NULL) {
            r = value_kib(v, eol, &pss.swap_bytes);
            pss.has_swap = true;
        }
        if (r < 0)
            return r;
    }
    if (!has_resident)
        return -EBADMSG;
    *ret = pss;
    return 0;
}

/* ---- /proc/stat ------------------------------------------------------------------ */

/* "  user nice system …" of all CPUs together; two spaces stand before the first. */
static int host_busy(const char *p, const char *eol, uint64_t *ret_ticks) {
    uint64_t sum = 0, n;
    int i;

    for (i = 0; i < 3; i++) {
        p = skip_blanks(p, eol);
        if (parse_u64(&p, eol, &n) < 0 || n > UINT64_MAX - sum)
            return -EBADMSG;
        sum += n;
    }
    *ret_ticks = sum;
    return 0;
}

int parse_host_stat(const char *buf, size_t len, struct host_stat *ret) {
    struct host_stat s = {0};
    const char *cursor = buf, *end = buf + len, *line, *eol, *v;
    bool has_busy = false, has_boot_time = false;

    while ((line = take_line(&cursor, end, &eol)) != NULL) {
        if ((v = after(line, eol, TEXT("cpu"))) != NULL && v < eol) {
            if (*v == ' ') {
                if (host_busy(v, eol, &s.busy_ticks) < 0)
                    return -EBADMSG;
                has_busy = true;
            } else if (is_digit(*v)) {
                s.cpus++; /* one line per CPU that is online; numbers may have gaps */
            }
        } else if ((v = after(line, eol, TEXT("btime "))) != NULL) {
            if (value_u64(v, eol, &s.boot_time) < 0)
                return -EBADMSG;
            has_boot_time = true;
        }
    }
    if (!has_busy || !has_boot_time || s.cpus == 0)
        return -EBADMSG;
    *ret = s;
    return 0;
}

/* ---- /proc/PID/cgroup ------------------------------------------------------------- */

/* The kernel marks the cgroup of a zombie that was removed meanwhile. It is the
 * same cgroup for all that. */
static size_t without_deleted(const char *path, size_t len) {
    static const char mark[] = " (deleted)";
    const size_t mark_len = sizeof(mark) - 1;

    if (len > mark_len && memcmp(path + len - mark_len, mark, mark_len) == 0)
        return len - mark_len;
    return len;
}

struct span {
    const char *text;
    size_t len;
};

int parse_cgroup(const char *buf, size_t len, struct cgroup_file *ret) {
    const char *cursor = buf, *end = buf + len, *line, *eol;
    struct span unified = {"", 0}, systemd = {"", 0}, other = {"", 0};

    /* "ID:CONTROLLERS:PATH"; the path may hold more colons, but no newline: the
     * kernel refuses to make such a cgroup. ID 0 and no controllers: version 2. */
    while ((line = take_line(&cursor, end, &eol)) != NULL) {
        const char *controllers = line, *colon;
        struct span path;
        uint64_t id;

        if (parse_u64(&controllers, eol, &id) < 0 || controllers == eol || *controllers != ':')
            return -EBADMSG;
        controllers++;
        colon = memchr(controllers, ':', (size_t)(eol - controllers));
        if (!colon || colon + 1 == eol || colon[1] != '/')
            return -EBADMSG;
        path.text = colon + 1;
        path.len = without_deleted(path.text, (size_t)(eol - path.text));

        if (colon == controllers) {
            unified = path;
            continue;
        }
        if (after(controllers, colon + 1, TEXT("name=systemd:")) != NULL)
            systemd = path;
        /* The first that is not "/" (of length 1); failing that, the first. */
        if (other.len <= 1 && path.len > other.len)
            other = path;
    }

    /* The file is empty where no hierarchy was ever mounted: both stay empty. */
    if (unified.len > 1 || (unified.len == 1 && other.len <= 1))
        other = unified;
    /* In hybrid mode systemd keeps both alike, unless something else moved the
     * process; in legacy mode the unified path is "/". */
    if (unified.len > 1 || systemd.len == 0)
        systemd = unified;
    *ret = (struct cgroup_file){
        .path = other.text,
        .path_len = other.len,
        .systemd = systemd.text,
        .systemd_len = systemd.len,
    };
    return 0;
}

static bool has_unit_suffix(const char *name, size_t len) {
    static const struct span suffixes[] = {
        {TEXT(".service")}, {TEXT(".scope")}, {TEXT(".socket")}, {TEXT(".mount")},
        {TEXT(".automount")}, {TEXT(".swap")}, {TEXT(".timer")}, {TEXT(".path")},
        {TEXT(".target")}, {TEXT(".device")},
    };
    size_t i;

    for (i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        const struct span *s = &suffixes[i];

        /* a suffix alone is no name */
        if (len > s->len && memcmp(name + len - s->len, s->text, s->len) == 0)
            return true;
    }
    return false;
}

/* 64 hex digits with neither letter nor digit on either side. After "conmon-"
 * they name podman's and CRI-O's monitor, which runs outside the container. */
static const char *find_hex_id(const char *buf, const char *end) {
    const char *p = buf;

    while (p < end) {
        const char *first = p;
        bool hex = true;

        for (; p < end && (is_digit(*p) || is_letter(*p)); p++)
            hex = hex && is_hex(*p);
        if (hex && p - first == 64 &&
            (first - buf < 7 || memcmp(first - 7, "conmon-", 7) != 0))
            return first;
        if (p < end)
            p++;
    }
    return NULL;
}

/* Does a container begin with this component, which is no unit of systemd's? */
static bool is_container(const char *name, const char *end, bool is_last) {
    const char *rest = after(name, end, TEXT("lxc.payload."));
    if (rest && rest < end)
        return true;
    rest = after(name, end, TEXT("lxc"));
    if (rest == end && !is_last)
        return true;
    return find_hex_id(name, end) != NULL;
}

size_t parse_unit(const char *path, size_t len, const char **ret_unit) {
    const char *p = path, *end = path + len;

    while (p < end) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        const char *stop = slash ? slash : end;

        /* systemd puts a '_' before names that the kernel would take for its own
         * files, such as "cgroup.service", and before names with a '_'. */
        if (p < stop && *p == '_')
            p++;
        if (has_unit_suffix(p, (size_t)(stop - p))) {
            *ret_unit = p;
            return (size_t)(stop - p);
        }
        /* what is in there are units of another systemd, of the same names */
        if (is_container(p, stop, !slash))
            return 0;
        p = slash ? slash + 1 : end;
    }
    return 0;
}

/* LXC before version 4 and Proxmox: "/lxc/NAME"; since: "/lxc.payload.NAME". */
static size_t find_lxc_name(const char *buf, const char *end, const char **ret_name) {
    const char *p = buf;

    while (p < end && (p = memchr(p, '/', (size_t)(end - p))) != NULL) {
        const char *name = after(p, end, TEXT("/lxc/"));
        const char *stop;
        size_t len;

        if (!name)
            name = after(p, end, TEXT("/lxc.payload."));
        p++;
        if (!name)
            continue;
        for (stop = name; stop < end && *stop != '/' && *stop != '\n'; stop++)
            ;
        len = without_deleted(name, (size_t)(stop - name));
        if (len == 0)
            continue;
        *ret_name = name;
        return len;
    }
    return 0;
}

/* systemd-nspawn: "/machine-NAME.scope/payload" or "/systemd-nspawn@NAME.service/payload";
 * beside the payload is its supervisor, which runs outside. */
static size_t find_nspawn_name(const char *buf, const char *end, const char **ret_name) {
    static const struct {
        const char *text;
        size_t len;
        const char *behind;
        size_t behind_len;
    } forms[] = {{TEXT("/machine-"), TEXT(".scope/payload")},
                 {TEXT("/systemd-nspawn@"), TEXT(".service/payload")}};
    const char *p = buf;

    for (; p < end && (p = memchr(p, '/', (size_t)(end - p))) != NULL; p++) {
        for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
            const char *name = after(p, end, forms[i].text, forms[i].len);
            const char *slash = name ? memchr(name, '/', (size_t)(end - name)) : NULL;
            if (!slash || memchr(name, '\n', (size_t)(slash - name)))
                continue;
            /* as far as the slash that "payload" stands behind */
            const char *dot = slash - (forms[i].behind_len - (sizeof("/payload") - 1));
            if (dot <= name)
                continue;
            const char *rest = after(dot, end, forms[i].behind, forms[i].behind_len);
            if (rest && (rest == end || *rest == '/' || *rest == '\n' || *rest == ' ')) {
                *ret_name = name;
                return (size_t)(dot - name);
            }
        }
    }
    return 0;
}

size_t parse_container_path(const char *buf, size_t len, const char *id, const char **ret_path) {
    const char *line = id, *end = buf + len, *stop = id;
    while (line > buf && line[-1] != '\n')
        line--;
    const char *colon = memchr(line, ':', (size_t)(id - line));
    colon = colon ? memchr(colon + 1, ':', (size_t)(id - colon - 1)) : NULL;
    if (!colon)
        return 0;
    while (stop < end && *stop != '/' && *stop != '\n')
        stop++;
    *ret_path = colon + 1;
    return without_deleted(colon + 1, (size_t)(stop - colon - 1));
}

size_t parse_container(const char *buf, size_t len, const char **ret_id) {
    const char *end = buf + len;
    const char *id = find_hex_id(buf, end);

    if (!id) {
        size_t n = find_lxc_name(buf, end, ret_id);
        return n ? n : find_nspawn_name(buf, end, ret_id);
    }
    *ret_id = id;
    return 12;
}
