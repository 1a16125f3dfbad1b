/* SPDX-License-Identifier: MIT */
/* A program with proctally inside: the CPU seconds that each user's programs use
 * within one second. Build it against an installed library with
 *
 *   cc embed.c $(pkg-config --cflags --libs proctally)
 */
#include <proctally.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* 0 also for a time that is not known; a real program would tell the two apart. */
static double seconds(const tally_snapshot *s, size_t group, const char *id) {
    size_t metric;
    uint64_t value = 0;
    if (tally_metric_find(id, &metric) < 0 || !tally_snapshot_value(s, group, metric, &value))
        return 0;
    return (double)value / 1e9;
}

static int collect_and_print(tally *t, bool print) {
    const tally_snapshot *s;
    struct tally_error notice;
    int r = tally_collect(t, &s);
    if (r < 0) {
        fprintf(stderr, "cannot collect: %s\n", strerror(-r));
        return r;
    }
    while (tally_notice(t, &notice))
        fprintf(stderr, "%s\n", notice.text);
    for (size_t g = 0; print && g < tally_snapshot_groups(s); g++)
        printf("%-32s %8.2f s user %8.2f s system\n", tally_snapshot_group_name(s, g),
               seconds(s, g, "cpu_user"), seconds(s, g, "cpu_system"));
    return 0;
}

int main(void) {
    struct tally_error error = {"out of memory"};
    tally_config *config = NULL;
    tally *t = NULL;
    int r = tally_config_new(&config);
    if (r >= 0)
        r = tally_config_set(config, "group-by", "user,name", &error);
    r = r < 0 ? r : tally_new(config, NULL, &t, &error);
    tally_config_free(config); /* the collector has all that it needs of it */
    if (r < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    r = collect_and_print(t, false); /* what is counted from here on … */
    sleep(1);
    if (r >= 0)
        r = collect_and_print(t, true); /* … is shown here */
    tally_free(t);
    return r < 0;
}
