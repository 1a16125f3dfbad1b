/* SPDX-License-Identifier: MIT */
/* One process in `proctally top`: what it is, and what it has open. */
#include "top.h"

#include "text.h"

#include <string.h>
#include <time.h>

enum { TEXT_SIZE = 4096 };

void top_write_text_line(FILE *to, const char *title, const char *text, size_t len, size_t width) {
    const size_t used = text_write(to, title, strlen(title), width);
    text_write(to, text, len, width - used);
    putc('\n', to);
}

static void write_known(const struct top *top, size_t process, enum tally_process_text which,
                        const char *title, FILE *to, size_t width) {
    char text[TEXT_SIZE];
    ssize_t len = tally_snapshot_process_text(top->model.now, process, which, text, sizeof(text));
    for (ssize_t i = 0; i < len; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    if (len < 0) {
        len = snprintf(text, sizeof(text), "- (%s)", strerror((int)-len));
    }
    top_write_text_line(to, title, text, (size_t)len, width);
}

bool top_write_process(const struct top *top, pid_t pid, uint64_t start_ns, FILE *to,
                       size_t width) {
    char text[TEXT_SIZE];
    size_t process;
    if (!top_model_find_process(&top->model, pid, start_ns, &process))
        return false;
    const struct tally_process *p = tally_snapshot_process(top->model.now, process);
    const time_t started = (time_t)(p->start_ns / NS_PER_S);
    struct tm when = {0};
    localtime_r(&started, &when);
    int n = snprintf(text, sizeof(text), "%ld %s", (long)p->pid, p->name);
    top_write_text_line(to, "process ", text, (size_t)n, width);
    n = snprintf(text, sizeof(text), "%s, parent %ld, state %c, since ", p->user ? p->user : "-",
                 (long)p->ppid, p->state);
    n += (int)strftime(text + n, sizeof(text) - (size_t)n, "%Y-%m-%d %H:%M:%S", &when);
    top_write_text_line(to, "user ", text, (size_t)n, width);
    const char *group = p->group == TALLY_NO_GROUP
                            ? "- (left out)"
                            : tally_snapshot_group_name(top->model.now, p->group);
    top_write_text_line(to, "group ", group, strlen(group), width);
    write_known(top, process, TALLY_PROCESS_EXE, "program ", to, width);
    write_known(top, process, TALLY_PROCESS_CGROUP, "cgroup ", to, width);
    write_known(top, process, TALLY_PROCESS_CMDLINE, "command ", to, width);
    top_write_files(top, pid, process, to, width);
    return true;
}
