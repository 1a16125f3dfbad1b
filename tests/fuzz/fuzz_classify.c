/* SPDX-License-Identifier: MIT */
/*
 * Rules, templates and group-by over processes that call themselves anything.
 * Parts: options; the rule's name template; its regular expression (empty: none);
 * its selectors in lines SELECTOR=TEXT, not.SELECTOR=TEXT, parent.SELECTOR=TEXT,
 * drop; then for each process comm, cmdline, exe, /proc/PID/cgroup and user.
 */
#include "fuzz.h"

#include "source/linux/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One of the selectors, as SELECTOR=TEXT. */
static void set_selector(struct tally_rule *rule, const char *items[SELECTORS], const char *line) {
    struct tally_strings *to[SELECTORS] = {&rule->comm, &rule->exe,    &rule->cmdline,
                                           &rule->user, &rule->cgroup, &rule->unit,
                                           &rule->gid,  &rule->pid_file, &rule->kernel};
    for (size_t s = 0; s < SELECTORS; s++) {
        size_t len = strlen(selector_names[s]);
        if (strncmp(line, selector_names[s], len) != 0 || line[len] != '=')
            continue;
        items[s] = line + len + 1;
        *to[s] = (struct tally_strings){&items[s], 1};
    }
}

static void add_rule(tally_config *config, const char *name, const char *regex, char *lines) {
    const char *items[SELECTORS], *unless_items[SELECTORS], *parent_items[SELECTORS];
    struct tally_rule rule = {.size = sizeof(rule), .name = name};
    struct tally_rule unless = {.size = sizeof(unless)}, parent = {.size = sizeof(parent)};
    struct tally_error error;
    char *line;
    while ((line = next_line(&lines)) != NULL) {
        if (strcmp(line, "drop") == 0) {
            rule.drop = true;
            rule.name = NULL;
        } else if (strncmp(line, "not.", 4) == 0) {
            set_selector(&unless, unless_items, line + 4);
            rule.unless = &unless;
        } else if (strncmp(line, "parent.", 7) == 0) {
            set_selector(&parent, parent_items, line + 7);
            rule.parent = &parent;
        } else {
            set_selector(&rule, items, line);
        }
    }
    if (*regex) {
        items[SELECTOR_CMDLINE] = regex;
        rule.cmdline = (struct tally_strings){&items[SELECTOR_CMDLINE], 1};
    }
    int r = tally_config_add_rule(config, &rule, &error);
    CHECK(r == 0 || r == -EINVAL || r == -ENOTSUP, "tally_config_add_rule(): %d", r);
    if (r < 0)
        check_error(&error);
}

static void read_cgroup(struct identity *id, const struct part *file) {
    struct cgroup_file cgroup;
    if (parse_cgroup(file->at, file->len, &cgroup) < 0)
        return;
    id->cgroups = (struct text){file->at, file->len};
    id->cgroup = (struct text){cgroup.path, cgroup.path_len};
    id->unit.len = parse_unit(cgroup.systemd, cgroup.systemd_len, &id->unit.at);
    id->container.len = parse_container(file->at, file->len, &id->container.at);
}

static void check_group(const struct tallies *t, uint32_t index) {
    CHECK(index < t->end && t->groups[index], "group %u is none", index);
    const struct group *g = t->groups[index];
    if (index == GROUP_LEFT_OUT)
        return;
    CHECK(g->texts->name[0] && strlen(g->texts->name) <= GROUP_NAME_MAX && is_utf8(g->texts->name, strlen(g->texts->name)) &&
              is_harmless(g->texts->name, strlen(g->texts->name)),
          "a group called %s", g->texts->name);
    for (size_t i = 0; i < g->texts->label_count; i++)
        CHECK(g->texts->labels[i].value[0] && is_utf8(g->texts->labels[i].value, strlen(g->texts->labels[i].value)) &&
                  is_harmless(g->texts->labels[i].value, strlen(g->texts->labels[i].value)),
              "the label %s is %s", g->texts->labels[i].key, g->texts->labels[i].value);
}

static void check_why(const struct buf *why) {
    CHECK(why->error == 0 && why->len > 0 && why->data[why->len - 1] == '\n', "no reason");
    for (const char *at = why->data, *end; at < why->data + why->len; at = end + 1) {
        end = memchr(at, '\n', (size_t)(why->data + why->len - at));
        CHECK(is_utf8(at, (size_t)(end - at)) && is_harmless(at, (size_t)(end - at)),
              "a reason that is not fit for a terminal");
    }
}

struct run {
    struct grouping grouping;
    struct tallies tallies;
    struct lineage lineage;
    uint32_t pid;
};

/* Its group; and what its children inherit is the run's. */
static uint32_t decide(struct run *run, const struct identity *id, struct lineage ancestors,
                       struct buf *why) {
    struct match_time time = {.left_ns = NS_PER_S};
    struct decision decision;
    uint32_t group = GROUP_LEFT_OUT;
    int r = grouping_decide(&run->grouping, id, ancestors, &time, &decision, why);
    CHECK(r == 0, "grouping_decide(): %d", r);
    r = decision_group(&decision, &run->tallies, &group);
    CHECK(r == 0, "decision_group(): %d", r);
    run->lineage = decision_lineage(&run->grouping, &decision, ancestors, group);
    check_group(&run->tallies, group);
    check_group(&run->tallies, run->lineage.group);
    CHECK(run->grouping.children || run->lineage.group == 0, "a lineage without children");
    return group;
}

static void classify_parts(struct run *run, const struct part parts[5]) {
    struct identity id = {
        .pid = ++run->pid,
        .ppid = run->pid - 1,
        .uid = run->pid % 3,
        .has_credentials = run->pid % 4 != 0,
        .is_kernel = run->pid % 5 == 0,
        .start_time_s = parts[0].len * UINT64_C(100000000),
        .comm = {parts[0].at, parts[0].len < 64 ? parts[0].len : 64},
        .cmdline = {parts[1].at, parts[1].len},
        .exe = {parts[2].at, parts[2].len},
        .user = {parts[4].at, parts[4].len},
    };
    uint32_t group, again;
    struct buf why;
    while (id.cmdline.len && id.cmdline.at[id.cmdline.len - 1] == '\0')
        id.cmdline.len--;
    char *command = malloc(id.cmdline.len + 1);
    CHECK(command, "out of memory");
    for (size_t i = 0; i < id.cmdline.len; i++)
        command[i] = id.cmdline.at[i] ? id.cmdline.at[i] : ' ';
    id.command = (struct text){command, id.cmdline.len};
    read_cgroup(&id, &parts[3]);

    const struct lineage first = run->lineage;
    group = decide(run, &id, first, NULL);
    const struct lineage lineage = run->lineage;
    buf_init(&why, 1 << 24);
    again = decide(run, &id, first, &why);
    /* what is given up at one time may not be at another */
    CHECK(run->grouping.pattern_limits || (again == group && lineage.group == run->lineage.group &&
                                            lineage.parents == run->lineage.parents),
          "decided otherwise the second time");
    check_why(&why);
    buf_free(&why);
    free(command);
}

FUZZ_TARGET(classify) {
    struct part head[4] = {{0}};
    struct run run = {.pid = 0};
    struct settings settings;
    struct tally_error error;
    tally_config *config;
    size_t count = 0;
    while (count < 4 && next_part(&data, &len, true, &head[count]))
        count++;
    CHECK(tally_config_new(&config) == 0, "out of memory");
    if (count == 4) {
        set_options(config, head[0].at);
        add_rule(config, head[1].at, head[2].at, head[3].at);
    }
    int r = config_settings(config, &settings);
    CHECK(r == 0, "config_settings(): %d", r);
    r = grouping_new(&settings, NULL, NULL, &run.grouping, &error);
    CHECK(r == 0, "grouping_new(): %d", r);
    r = tallies_init(&run.tallies, settings.max_groups, settings.collect, 0);
    CHECK(r == 0, "tallies_init(): %d", r);
    r = grouping_add_literals(&run.grouping, &run.tallies);
    CHECK(r == 0, "grouping_add_literals(): %d", r);
    while (run.pid < 64) {
        struct part parts[5] = {{0}};
        size_t given = 0;
        while (given < 5 && next_part(&data, &len, true, &parts[given]))
            given++;
        if (given == 5)
            classify_parts(&run, parts);
        for (size_t i = 0; i < 5; i++)
            part_free(&parts[i]);
        if (given < 5)
            break;
    }
    CHECK(run.tallies.count <= settings.max_groups, "%zu groups", run.tallies.count);
    tallies_clear(&run.tallies);
    grouping_free(&run.grouping);
    settings_free(&settings);
    tally_config_free(config);
    for (size_t i = 0; i < 4; i++)
        part_free(&head[i]);
    return 0;
}
