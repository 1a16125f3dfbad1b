/* SPDX-License-Identifier: MIT */
/* `proctally top --json`: all that a snapshot knows, by the catalogue's names. */
#include "top.h"

#include "json.h"

#include <inttypes.h>
#include <string.h>

typedef bool value_call(const tally_snapshot *s, size_t index, size_t metric, uint64_t *ret);

/* The members of an object: the metrics of a scope that have a value. */
static void write_metrics(FILE *to, const tally_snapshot *s, enum tally_scope scope, size_t index,
                          value_call *call, bool *is_first) {
    const struct tally_metric *known;
    for (size_t m = 0; (known = tally_metric(m)); m++) {
        uint64_t value;
        if (known->scope != scope || !call(s, index, m, &value))
            continue;
        json_key(to, is_first, known->id);
        json_number(to, tally_present(s, m, TALLY_FORM_NATURAL, value));
    }
}

static void write_object(FILE *to, const tally_snapshot *s, enum tally_scope scope) {
    bool is_first = true;
    putc('{', to);
    write_metrics(to, s, scope, 0, tally_snapshot_value, &is_first);
    putc('}', to);
}

static void write_fraction(FILE *to, uint64_t billionths) {
    json_number(to, (struct tally_number){.whole = billionths / 1000000000,
                                          .billionths = (uint32_t)(billionths % 1000000000)});
}

static void write_group(FILE *to, const struct top_model *model, size_t group) {
    const struct top_row row = {.kind = TOP_ENDED, .index = group};
    const char *key, *value;
    uint64_t ended;
    bool is_first = true, is_first_label = true;
    putc('{', to);
    json_key(to, &is_first, "name");
    json_text(to, tally_snapshot_group_name(model->now, group));
    json_key(to, &is_first, "labels");
    putc('{', to);
    for (size_t i = 0; tally_snapshot_label(model->now, group, i, &key, &value); i++) {
        json_key(to, &is_first_label, key);
        json_text(to, value);
    }
    putc('}', to);
    if (top_model_value(model, &row, TOP_CPU, &ended)) {
        json_key(to, &is_first, "cpu_usage_ended");
        write_fraction(to, ended);
    }
    write_metrics(to, model->now, TALLY_SCOPE_GROUP, group, tally_snapshot_value, &is_first);
    putc('}', to);
}

static void write_process(FILE *to, const struct top_model *model, size_t index) {
    const struct tally_process *p = tally_snapshot_process(model->now, index);
    bool is_first = true;
    fprintf(to, "{\"pid\":%ld,\"ppid\":%ld,\"name\":", (long)p->pid, (long)p->ppid);
    is_first = false;
    json_text(to, p->name);
    if (p->user) {
        json_key(to, &is_first, "user");
        json_text(to, p->user);
    }
    json_key(to, &is_first, "state");
    json_string(to, &p->state, 1);
    if (p->group != TALLY_NO_GROUP) {
        json_key(to, &is_first, "group");
        json_text(to, tally_snapshot_group_name(model->now, p->group));
    }
    write_metrics(to, model->now, TALLY_SCOPE_GROUP, index, tally_snapshot_process_value,
                  &is_first);
    putc('}', to);
}

void top_write_json(const struct top *top, FILE *to) {
    const struct top_model *model = &top->model;
    const tally_snapshot *s = model->now;
    const uint64_t interval_ns = tally_snapshot_interval(s);
    fputs("{\"time\":", to);
    write_fraction(to, tally_snapshot_time(s));
    if (interval_ns) {
        fputs(",\"interval\":", to);
        write_fraction(to, interval_ns);
    }
    fputs(",\"host\":", to);
    write_object(to, s, TALLY_SCOPE_HOST);
    fputs(",\"self\":", to);
    write_object(to, s, TALLY_SCOPE_SELF);
    fputs(",\"groups\":[", to);
    for (size_t g = 0; g < tally_snapshot_groups(s); g++) {
        if (g)
            putc(',', to);
        write_group(to, model, g);
    }
    fputs("],\"processes\":[", to);
    for (size_t i = 0; i < tally_snapshot_processes(s); i++) {
        if (i)
            putc(',', to);
        write_process(to, model, i);
    }
    fputs("]}\n", to);
}
