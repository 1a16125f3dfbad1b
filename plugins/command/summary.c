/* SPDX-License-Identifier: MIT */
#include "summary.h"

#include "json.h"
#include "text.h"
#include "units.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAMS_SHOWN 10

const char *summary_peak_memory(const struct summary *s, uint64_t *ret_bytes) {
    *ret_bytes = s->cgroup_peak_bytes ? s->cgroup_peak_bytes
                 : s->pss_peak_bytes  ? s->pss_peak_bytes
                                      : s->rss_sum_peak_bytes;
    return s->cgroup_peak_bytes    ? "memory.peak"
           : s->pss_peak_bytes     ? "pss_sampled"
           : s->rss_sum_peak_bytes ? "rss_sum_sampled"
                                   : NULL;
}

static const char *command_of(const struct summary *s) {
    return s->command ? s->command : "";
}

static double seconds(uint64_t ns) {
    return (double)ns / (double)NS_PER_S;
}

/* 1 is one core all the time. */
static double cpu_average(const struct summary *s) {
    return s->wall_ns ? (double)figures_cpu_ns(&s->figures) / (double)s->wall_ns : 0;
}

/* Rounded: of a record that was read it is what stood there, not a byte less. */
static uint64_t rss_average_bytes(const struct summary *s) {
    return s->wall_ns ? (uint64_t)(s->rss_sum_byte_s / seconds(s->wall_ns) + 0.5) : 0;
}

/* ---- For people ------------------------------------------------------------------------- */

/* What samples may have missed a part of has a mark. */
static const char *mark(const struct summary *s, unsigned figures) {
    return (s->figures.exact & figures) == figures ? "" : "~";
}

static void print_time(FILE *to, const struct summary *s, unsigned figures, uint64_t ns) {
    char text[AMOUNT_SIZE];
    fprintf(to, "%s%s", mark(s, figures), amount_time(ns, text));
}

static void print_bytes(FILE *to, const char *before, uint64_t bytes) {
    char text[AMOUNT_SIZE];
    fprintf(to, "%s%s", before, amount_bytes(bytes, text));
}

static void print_cpu(FILE *to, const struct summary *s) {
    if ((s->figures.known & FIGURES_CPU) != FIGURES_CPU)
        return;
    fputs("cpu        ", to);
    print_time(to, s, FIGURES_CPU, figures_cpu_ns(&s->figures));
    fputs("  (user ", to);
    print_time(to, s, FIGURES_CPU, s->figures.value[FIGURE_CPU_USER]);
    fputs(", system ", to);
    print_time(to, s, FIGURES_CPU, s->figures.value[FIGURE_CPU_SYSTEM]);
    putc(')', to);
    if (!s->is_of_lifetimes)
        fprintf(to, ", %.2f cores on average", cpu_average(s));
    putc('\n', to);
}

static void print_memory(FILE *to, const struct summary *s) {
    if (s->largest_rss_bytes + s->cgroup_peak_bytes + s->rss_sum_peak_bytes == 0)
        return;
    fputs("memory     ", to);
    const char *comma = "";
    if (s->largest_rss_bytes) {
        print_bytes(to, s->largest_rss_is_exact ? "" : "~", s->largest_rss_bytes);
        fputs(" largest process", to);
        comma = ", ";
    }
    if (s->cgroup_peak_bytes) {
        print_bytes(to, comma, s->cgroup_peak_bytes);
        fputs(" control group", to);
        comma = ", ";
    }
    if (s->pss_peak_bytes) {
        fputs(comma, to);
        print_bytes(to, "~", s->pss_peak_bytes);
        fputs(" sum of PSS", to);
        comma = ", ";
    }
    if (s->rss_sum_peak_bytes) {
        fputs(comma, to);
        print_bytes(to, "~", s->rss_sum_peak_bytes);
        print_bytes(to, " sum of RSS (~", rss_average_bytes(s));
        fputs(" on average)", to);
    }
    putc('\n', to);
}

/* Two amounts of bytes that go together; nothing if they are not known. */
static void print_pair(FILE *to, const struct summary *s, const char *name, enum figure in,
                       const char *in_name, enum figure out, const char *out_name) {
    const unsigned both = FIGURE(in) | FIGURE(out);
    if ((s->figures.known & both) != both)
        return;
    print_bytes(to, name, s->figures.value[in]);
    fprintf(to, " %s, ", in_name);
    print_bytes(to, "", s->figures.value[out]);
    fprintf(to, " %s%s\n", out_name, *mark(s, both) ? "  (~)" : "");
}

static void print_programs(FILE *to, const struct summary *s) {
    const uint64_t whole_ns = figures_cpu_ns(&s->figures);
    size_t shown = s->program_count < PROGRAMS_SHOWN ? s->program_count : PROGRAMS_SHOWN;
    if (s->program_count < 2)
        return;
    fputs(s->programs_are_exact ? "\n    ~COUNT        CPU   SHARE ~LARGEST  PROGRAM\n"
                                : "\n    ~COUNT       ~CPU  ~SHARE ~LARGEST  PROGRAM\n",
          to);
    for (size_t i = 0; i < shown; i++) {
        const struct program *p = &s->programs[i];
        char cpu[AMOUNT_SIZE], rss[AMOUNT_SIZE];
        fprintf(to, "%10" PRIu64 " %10s %6.1f%%  %7s  ", p->count, amount_time(p->cpu_ns, cpu),
                whole_ns ? 100 * (double)p->cpu_ns / (double)whole_ns : 0,
                p->largest_rss_bytes ? amount_bytes(p->largest_rss_bytes, rss) : "-");
        text_write(to, p->name, strlen(p->name), 40);
        putc('\n', to);
    }
    if (s->program_count > shown)
        fprintf(to, "%10s and %zu more\n", "", s->program_count - shown);
}

void summary_print(FILE *to, const struct summary *s) {
    char wall[AMOUNT_SIZE], own[AMOUNT_SIZE];
    fputs("\nproctally: ", to);
    text_write(to, command_of(s), strlen(command_of(s)), 68);
    putc('\n', to);
    fprintf(to, "wall       %s", amount_time(s->wall_ns, wall));
    if (s->signal_number)
        fprintf(to, ", ended by signal %d (%s)", s->signal_number, strsignal(s->signal_number));
    else if (s->has_ended)
        fprintf(to, ", exit status %d", s->exit_code);
    putc('\n', to);
    print_cpu(to, s);
    print_memory(to, s);
    print_pair(to, s, "disk       ", FIGURE_DISK_READ, "read", FIGURE_DISK_WRITTEN, "written");
    print_pair(to, s, "calls      ", FIGURE_IO_READ, "read", FIGURE_IO_WRITTEN, "written");
    print_pair(to, s, "tcp        ", FIGURE_RECEIVED_TCP, "received", FIGURE_SENT_TCP, "sent");
    print_pair(to, s, "udp        ", FIGURE_RECEIVED_UDP, "received", FIGURE_SENT_UDP, "sent");
    fprintf(to, "processes  ");
    if (s->figures.known & FIGURE(FIGURE_STARTS))
        fprintf(to, "%s%" PRIu64 " started, ", mark(s, FIGURE(FIGURE_STARTS)),
                s->figures.value[FIGURE_STARTS]);
    fprintf(to, "~%" PRIu64 " at a time", s->most_processes);
    if (s->orphans_left)
        fprintf(to, ", %" PRIu64 " left behind", s->orphans_left);
    putc('\n', to);
    fprintf(to, "samples    %" PRIu64 " from %s", s->samples, s->source);
    if (s->own_cpu_ns)
        fprintf(to, ", which took %s of CPU", amount_time(s->own_cpu_ns, own));
    fputs("; ~ may lack what none of them saw\n", to);
    print_programs(to, s);
}

/* ---- For programs ------------------------------------------------------------------------- */

static void add_seconds(FILE *to, bool *is_first, const char *key, uint64_t ns) {
    json_key(to, is_first, key);
    json_number(to, (struct tally_number){.whole = ns / NS_PER_S,
                                          .billionths = (uint32_t)(ns % NS_PER_S)});
}

static void add_whole(FILE *to, bool *is_first, const char *key, uint64_t value) {
    json_key(to, is_first, key);
    fprintf(to, "%" PRIu64, value);
}

static void add_fraction(FILE *to, bool *is_first, const char *key, double value) {
    json_key(to, is_first, key);
    fprintf(to, "%.6g", value);
}

static void add_exactness(FILE *to, bool *is_first, const struct summary *s) {
    bool first = true;
    json_key(to, is_first, "exact");
    putc('[', to);
    for (enum figure f = 0; f < FIGURES; f++)
        if (s->figures.known & s->figures.exact & FIGURE(f)) {
            fprintf(to, "%s\"%s\"", first ? "" : ",", figure_key(f));
            first = false;
        }
    if (s->largest_rss_bytes && s->largest_rss_is_exact) {
        fprintf(to, "%s\"max_rss_largest_process_kb\"", first ? "" : ",");
        first = false;
    }
    if (s->programs_are_exact)
        fprintf(to, "%s\"programs\"", first ? "" : ",");
    putc(']', to);
}

static void add_programs(FILE *to, bool *is_first, const struct summary *s) {
    json_key(to, is_first, "programs");
    putc('[', to);
    for (size_t i = 0; i < s->program_count; i++) {
        const struct program *p = &s->programs[i];
        bool first = true;
        fputs(i ? ",{" : "{", to);
        json_key(to, &first, "name");
        json_text(to, p->name);
        add_whole(to, &first, "count", p->count);
        add_seconds(to, &first, "cpu_s", p->cpu_ns);
        if (p->largest_rss_bytes)
            add_whole(to, &first, "max_rss_kb", p->largest_rss_bytes / 1024);
        putc('}', to);
    }
    putc(']', to);
}

void summary_json(FILE *to, const struct summary *s) {
    bool first = false;
    uint64_t peak_bytes;
    const char *peak_source = summary_peak_memory(s, &peak_bytes);
    fputs("{\"kind\":\"summary\"", to);
    json_key(to, &first, "command");
    json_text(to, command_of(s));
    json_key(to, &first, "source");
    json_text(to, s->source);
    if (s->has_ended)
        add_whole(to, &first, "exit_code", (uint64_t)s->exit_code);
    if (s->signal_number)
        add_whole(to, &first, "signal", (uint64_t)s->signal_number);
    add_seconds(to, &first, "wall_s", s->wall_ns);
    add_seconds(to, &first, "total_time_secs", s->wall_ns);
    for (enum figure f = 0; f < FIGURES; f++) {
        if (!(s->figures.known & FIGURE(f)))
            continue;
        if (figure_is_time(f))
            add_seconds(to, &first, figure_key(f), s->figures.value[f]);
        else
            add_whole(to, &first, figure_key(f), s->figures.value[f]);
    }
    if ((s->figures.known & FIGURES_CPU) == FIGURES_CPU && !s->is_of_lifetimes) {
        add_fraction(to, &first, "cpu_avg", cpu_average(s));
        add_fraction(to, &first, "avg_cpu_usage", 100 * cpu_average(s));
    }
    if (s->largest_rss_bytes)
        add_whole(to, &first, "max_rss_largest_process_kb", s->largest_rss_bytes / 1024);
    if (peak_source) {
        add_whole(to, &first, "peak_memory_kb", peak_bytes / 1024);
        json_key(to, &first, "peak_memory_source");
        json_text(to, peak_source);
    }
    if (s->pss_peak_bytes)
        add_whole(to, &first, "peak_mem_pss_kb", s->pss_peak_bytes / 1024);
    if (s->rss_sum_peak_bytes) {
        add_whole(to, &first, "peak_mem_rss_kb", s->rss_sum_peak_bytes / 1024);
        add_whole(to, &first, "avg_mem_rss_kb", rss_average_bytes(s) / 1024);
    }
    add_whole(to, &first, "processes_seen", s->processes_seen);
    add_whole(to, &first, "max_processes", s->most_processes);
    add_whole(to, &first, "max_threads", s->most_threads);
    add_whole(to, &first, "orphans_left", s->orphans_left);
    add_whole(to, &first, "samples", s->samples);
    add_whole(to, &first, "sample_count", s->samples);
    add_seconds(to, &first, "own_cpu_s", s->own_cpu_ns);
    add_exactness(to, &first, s);
    add_programs(to, &first, s);
    fputs("}\n", to);
}

void summary_clear(struct summary *s) {
    for (size_t i = 0; i < s->program_count; i++)
        free(s->programs[i].name);
    free(s->programs);
    free(s->command);
    *s = (struct summary){0};
}
