/* SPDX-License-Identifier: MIT */
/* `proctally top` on a terminal. All is drawn anew at each refresh and each key, and ncurses
 * sends what differs from what the terminal has. */
#include "text.h"
#include "top.h"

#include <curses.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum mode { LIST, HELP, PROCESS };
enum prompt { NO_PROMPT, FILTER, GROUP_BY, INTERVAL };
enum colour { PLAIN, ENDED, RUNNING, SAID };

enum {
    KEY_ESCAPE = 27,
    WHOLE_HEAD_FROM = 12, /* lines of a screen that shows all of what stands above the table */
    ESCAPE_MS = 25        /* within which the rest of a key's sequence comes */
};
/* The second look comes soon: the first one has no CPU usage to show. */
#define SECOND_LOOK_NS (NS_PER_S / 4)

struct screen {
    struct top *top;
    enum mode mode;
    enum prompt prompt;
    char typed[256];
    size_t cursor, first; /* rows */
    size_t scroll;        /* lines of a text that is longer than the screen */
    pid_t pid;            /* of mode PROCESS */
    uint64_t start_ns;
    bool shows_arguments, is_paused, has_colours;
    bool is_leaving;
};

static const char *const help_lines[] = {
    "Tab        groups, or processes",
    "Enter      the processes of a group; what a process is and has open",
    "Esc        back; also takes the filter away",
    "arrows, PgUp, PgDn, Home, End   move",
    "P M T N    sort by CPU, memory, time, number (PID, or processes of a group)",
    "E          sort by the CPU usage of what has ended",
    "< >        sort by the column to the left or right",
    "R          sort the other way round",
    "t          tree: processes below their parents, or below their groups",
    "/          filter: part of the name, group or user, or a PID",
    "g G        group by the next key; by keys that you type: user,name",
    "c          command lines, or names",
    "d          the interval",
    "space      pause",
    "h q        this help; leave",
    "",
    "ENDED%  CPU usage of processes that have ended since the last look. It is in CPU%.",
    "(ended) the same, as a row of its own.",
    "Found   how much of the host's CPU time the rows explain.",
    "-       not known, which is not 0.",
};

/* ---- Drawing --------------------------------------------------------------------------------- */

static size_t screen_width(void) {
    return COLS > 0 ? (size_t)COLS : 0;
}
static size_t screen_height(void) {
    return LINES > 0 ? (size_t)LINES : 0;
}

static size_t head_lines(void) {
    return screen_height() >= WHOLE_HEAD_FROM ? TOP_HEAD_LINES : screen_height() >= 5 ? 1 : 0;
}

/* Rows of the table: the titles stand above it, and a line for remarks below. */
static size_t table_lines(void) {
    const size_t others = head_lines() + 2;
    return screen_height() > others ? screen_height() - others : 0;
}

static void set_attributes(const struct screen *s, size_t y, attr_t attributes,
                           enum colour colour) {
    mvchgat((int)y, 0, -1, attributes, (short)(s->has_colours ? colour : PLAIN), NULL);
}

/* Lines of a text from `skip` on, as many as fit. Returns how many there are in all. */
static size_t put_lines(const char *text, size_t skip, size_t y, size_t count) {
    size_t lines = 0;
    while (*text) {
        const size_t len = strcspn(text, "\n");
        if (lines >= skip && lines - skip < count)
            mvaddnstr((int)(y + lines - skip), 0, text, (int)len);
        lines++;
        text += len + (text[len] == '\n');
    }
    return lines;
}

/* Where a line or a page is written to before it is put on the screen; NULL: no memory. */
struct page {
    char *text;
    size_t len;
    FILE *to;
};

static bool page_open(struct page *page) {
    *page = (struct page){0};
    page->to = open_memstream(&page->text, &page->len);
    return page->to != NULL;
}

static const char *page_end(struct page *page) {
    const bool has_failed = ferror(page->to);
    return fclose(page->to) == 0 && !has_failed ? page->text : "";
}

static void keep_cursor(struct screen *s) {
    const size_t rows = s->top->model.row_count, lines = table_lines();
    if (s->cursor >= rows)
        s->cursor = rows ? rows - 1 : 0;
    if (s->cursor < s->first)
        s->first = s->cursor;
    if (lines && s->cursor >= s->first + lines)
        s->first = s->cursor - lines + 1;
    if (s->first && s->first + lines > rows)
        s->first = rows > lines ? rows - lines : 0;
}

static void draw_list(struct screen *s) {
    const struct top *top = s->top;
    const struct top_model *model = &top->model;
    const size_t width = screen_width(), head = head_lines(), lines = table_lines();
    struct page page;
    if (!page_open(&page))
        return;
    keep_cursor(s);
    for (size_t i = 0; i < head; i++) {
        top_write_head(top, i, page.to, width);
        putc('\n', page.to);
    }
    top_write_titles(top, page.to, width);
    putc('\n', page.to);
    for (size_t i = 0; i < lines && s->first + i < model->row_count; i++) {
        top_write_row(top, &model->rows[s->first + i], s->shows_arguments, page.to, width);
        putc('\n', page.to);
    }
    put_lines(page_end(&page), 0, 0, head + 1 + lines);
    free(page.text);

    set_attributes(s, head, A_REVERSE, PLAIN);
    for (size_t i = 0; i < lines && s->first + i < model->row_count; i++) {
        const struct top_row *row = &model->rows[s->first + i];
        size_t len;
        const char *state = top_model_text(model, row, TOP_STATE, &len);
        const enum colour colour = row->kind == TOP_ENDED        ? ENDED
                                   : state && state[0] == 'R' ? RUNNING
                                                              : PLAIN;
        set_attributes(s, head + 1 + i, s->first + i == s->cursor ? A_REVERSE : A_NORMAL, colour);
    }
}

/* A text that may be longer than the screen. The last line of that is for remarks. */
static void draw_text(struct screen *s, const char *text) {
    const size_t height = screen_height() - 1, lines = put_lines(text, 0, 0, 0);
    if (s->scroll + height > lines)
        s->scroll = lines > height ? lines - height : 0;
    put_lines(text, s->scroll, 0, height);
}

static void draw_help(struct screen *s) {
    struct page page;
    if (!page_open(&page))
        return;
    for (size_t i = 0; i < sizeof(help_lines) / sizeof(help_lines[0]); i++) {
        top_write_text(page.to, help_lines[i], strlen(help_lines[i]), screen_width(), false);
        putc('\n', page.to);
    }
    draw_text(s, page_end(&page));
    free(page.text);
}

static void draw_process(struct screen *s) {
    struct page page;
    if (!page_open(&page))
        return;
    if (!top_write_process(s->top, s->pid, s->start_ns, page.to, screen_width()))
        fprintf(page.to, "process %ld has ended\n", (long)s->pid);
    draw_text(s, page_end(&page));
    free(page.text);
}

static void write_status(const struct screen *s, FILE *to, size_t width) {
    static const char *const asks[] = {[NO_PROMPT] = "", [FILTER] = "filter: ",
                                       [GROUP_BY] = "group by: ", [INTERVAL] = "interval: "};
    const struct top_model *model = &s->top->model;
    char text[sizeof(s->top->said.text) + sizeof(model->only_group) + sizeof(model->filter)];
    if (s->prompt != NO_PROMPT)
        snprintf(text, sizeof(text), "%s%s_", asks[s->prompt], s->typed);
    else if (s->top->said.text[0])
        snprintf(text, sizeof(text), "%s", s->top->said.text);
    else
        snprintf(text, sizeof(text), "%s%s%s%s%s%s%s%zu rows; h help, q quit",
                 s->is_paused ? "PAUSED; " : "", model->only_group[0] ? "group " : "",
                 model->only_group, model->only_group[0] ? "; " : "",
                 model->filter[0] ? "filter " : "", model->filter, model->filter[0] ? "; " : "",
                 model->row_count);
    top_write_text(to, text, strlen(text), width, false);
}

static void draw(struct screen *s) {
    struct page page;
    erase(); /* in memory; the terminal gets the difference */
    if (screen_height() == 0 || screen_width() == 0)
        return;
    switch (s->mode) {
    case LIST:
        draw_list(s);
        break;
    case HELP:
        draw_help(s);
        break;
    case PROCESS:
        draw_process(s);
        break;
    }
    if (page_open(&page)) {
        write_status(s, page.to, screen_width() - 1);
        mvaddstr(LINES - 1, 0, page_end(&page));
        free(page.text);
        if (s->prompt == NO_PROMPT && s->top->said.text[0])
            set_attributes(s, screen_height() - 1, A_BOLD, SAID);
    }
    refresh();
}

/* ---- Keys ---------------------------------------------------------------------------------------- */

static void arrange(struct screen *s) {
    (void)top_model_arrange(&s->top->model); /* without memory there are no rows for now */
}

static void move_by(size_t *at, bool is_down, size_t by) {
    if (is_down)
        *at += by;
    else
        *at = *at > by ? *at - by : 0;
}

/* The keys that move, in a list or in a text. False: it is another one. */
static bool key_moves(struct screen *s, int key) {
    size_t *at = s->mode == LIST ? &s->cursor : &s->scroll;
    const size_t page = table_lines() ? table_lines() : 1;
    switch (key) {
    case KEY_UP:
    case 'k':
        move_by(at, false, 1);
        return true;
    case KEY_DOWN:
    case 'j':
        move_by(at, true, 1);
        return true;
    case KEY_PPAGE:
        move_by(at, false, page);
        return true;
    case KEY_NPAGE:
        move_by(at, true, page);
        return true;
    case KEY_HOME:
        *at = 0;
        return true;
    case KEY_END: /* drawing knows where that is */
        *at = SIZE_MAX / 2;
        return true;
    default:
        return false;
    }
}

static void sort_by(struct screen *s, enum top_column column) {
    struct top_model *model = &s->top->model;
    if (top_columns[column].views & 1u << model->view) {
        model->sort = column;
        model->is_reversed = false;
        arrange(s);
    }
}

/* Shows a view; the processes of one group, or all ("") of what there is. */
static void show_view(struct screen *s, enum top_view view, const char *group) {
    struct top_model *model = &s->top->model;
    model->view = view;
    snprintf(model->only_group, sizeof(model->only_group), "%s", group);
    s->cursor = s->first = 0;
    arrange(s);
}

static void open_row(struct screen *s) {
    const struct top_model *model = &s->top->model;
    if (s->cursor >= model->row_count)
        return;
    const struct top_row *row = &model->rows[s->cursor];
    if (row->kind == TOP_PROCESS) {
        const struct tally_process *p = tally_snapshot_process(model->now, row->index);
        s->pid = p->pid;
        s->start_ns = p->start_ns;
        s->scroll = 0;
        s->mode = PROCESS;
    } else {
        show_view(s, TOP_PROCESSES, tally_snapshot_group_name(model->now, row->index));
    }
}

static void go_back(struct screen *s) {
    struct top_model *model = &s->top->model;
    if (s->mode != LIST) {
        s->mode = LIST;
    } else if (model->filter[0]) {
        model->filter[0] = '\0';
        arrange(s);
    } else if (model->only_group[0]) {
        show_view(s, TOP_GROUPS, "");
    }
}

static void next_key(struct screen *s) {
    static const char *const keys[] = {"name", "user", "unit", "container", "cgroup", "exe"};
    const size_t count = sizeof(keys) / sizeof(keys[0]);
    size_t next = 0;
    for (size_t i = 0; i < count; i++)
        if (strcmp(s->top->group_by, keys[i]) == 0)
            next = (i + 1) % count;
    (void)top_regroup(s->top, keys[next]); /* has said why not */
}

static void ask(struct screen *s, enum prompt prompt, const char *typed) {
    s->prompt = prompt;
    snprintf(s->typed, sizeof(s->typed), "%s", typed);
}

static void list_key(struct screen *s, int key) {
    struct top_model *model = &s->top->model;
    switch (key) {
    case '\t':
        show_view(s, model->view == TOP_GROUPS ? TOP_PROCESSES : TOP_GROUPS, "");
        return;
    case '\r':
    case '\n':
    case KEY_ENTER:
        open_row(s);
        return;
    case 'P':
        sort_by(s, TOP_CPU);
        return;
    case 'M':
        sort_by(s, TOP_RSS);
        return;
    case 'T':
        sort_by(s, TOP_CPU_TIME);
        return;
    case 'E':
        sort_by(s, TOP_ENDED_CPU);
        return;
    case 'N':
        sort_by(s, model->view == TOP_GROUPS ? TOP_MEMBERS : TOP_PID);
        return;
    case '<':
        sort_by(s, top_model_neighbour(model, -1));
        return;
    case '>':
        sort_by(s, top_model_neighbour(model, 1));
        return;
    case 'R':
        model->is_reversed = !model->is_reversed;
        arrange(s);
        return;
    case 't':
    case 'V':
        model->is_tree = !model->is_tree;
        arrange(s);
        return;
    case 'c':
        s->shows_arguments = !s->shows_arguments;
        return;
    case '/':
        ask(s, FILTER, model->filter);
        return;
    case 'g':
        next_key(s);
        return;
    case 'G':
        ask(s, GROUP_BY, s->top->group_by);
        return;
    case 'd':
        ask(s, INTERVAL, "");
        return;
    default:
        return;
    }
}

static void take_filter(struct screen *s) {
    snprintf(s->top->model.filter, sizeof(s->top->model.filter), "%s", s->typed);
    s->cursor = s->first = 0;
    arrange(s);
}

static void answer_prompt(struct screen *s) {
    const enum prompt prompt = s->prompt;
    s->prompt = NO_PROMPT;
    if (prompt == GROUP_BY)
        (void)top_regroup(s->top, s->typed); /* has said why not */
    else if (prompt == INTERVAL && s->typed[0])
        (void)top_set_interval(s->top, s->typed);
}

static void prompt_key(struct screen *s, int key) {
    size_t len = strlen(s->typed);
    if (key == KEY_ESCAPE) {
        if (s->prompt == FILTER) {
            s->typed[0] = '\0';
            take_filter(s);
        }
        s->prompt = NO_PROMPT;
    } else if (key == '\r' || key == '\n' || key == KEY_ENTER) {
        answer_prompt(s);
    } else if (key == KEY_BACKSPACE || key == 0x7f || key == '\b') {
        while (len && ((unsigned char)s->typed[--len] & 0xc0) == 0x80)
            continue; /* a whole character */
        s->typed[len] = '\0';
    } else if (key >= ' ' && key <= 0xff && len + 1 < sizeof(s->typed)) {
        s->typed[len] = (char)key; /* one byte of a character, as the terminal sends it */
        s->typed[len + 1] = '\0';
    }
    if (s->prompt == FILTER)
        take_filter(s);
}

static void take_key(struct screen *s, int key) {
    s->top->said.text[0] = '\0';
    if (s->prompt != NO_PROMPT)
        prompt_key(s, key);
    else if (key == 'q')
        s->is_leaving = true;
    else if (key == KEY_ESCAPE || key == KEY_BACKSPACE || key == 0x7f || key == '\b')
        go_back(s);
    else if (key == 'h' || key == '?') {
        s->mode = s->mode == HELP ? LIST : HELP;
        s->scroll = 0;
    } else if (key == ' ')
        s->is_paused = !s->is_paused;
    else if (!key_moves(s, key) && s->mode == LIST)
        list_key(s, key);
}

/* ---- The terminal ------------------------------------------------------------------------------ */

static void resize(void) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
        resizeterm(size.ws_row, size.ws_col);
}

/* Is nobody there any more? ncurses would answer that there is no key yet. */
static bool is_gone(const struct pollfd *fd) {
    int waiting = 0;
    return fd->revents & (POLLHUP | POLLERR | POLLNVAL) ||
           (fd->revents & POLLIN && ioctl(fd->fd, FIONREAD, &waiting) == 0 && waiting == 0);
}

static int show(struct screen *s, uint64_t count) {
    struct top *top = s->top;
    uint64_t beat_ns = service_now_ns() + (SECOND_LOOK_NS < top->interval_ns ? SECOND_LOOK_NS
                                                                             : top->interval_ns);
    uint64_t done = 0;
    (void)top_collect(top); /* has said why not; the next one may do better */
    while (!s->is_leaving && !top->signals.stop) {
        draw(s);
        struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                {.fd = top->signals.fd, .events = POLLIN}};
        service_poll(fds, 2, s->is_paused ? UINT64_MAX : beat_ns);
        service_signals_take(&top->signals);
        if (top->signals.poke) {
            top->signals.poke = false;
            resize();
        }
        if (is_gone(&fds[0]))
            break;
        for (int key; !s->is_leaving && (key = getch()) != ERR;)
            take_key(s, key);
        if (!s->is_paused && service_now_ns() >= beat_ns) {
            if (count && done++ == count)
                break;
            (void)top_collect(top);
            beat_ns = service_next_beat_ns(beat_ns, top->interval_ns, service_now_ns());
        }
    }
    return CLI_DONE;
}

/* SIGTERM is waited for, and puts the terminal in order. */
static void ask_to_stop(int number) {
    (void)number;
    kill(getpid(), SIGTERM);
}

static void prepare_terminal(struct screen *s) {
    cbreak();
    noecho();
    nonl();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    set_escdelay(ESCAPE_MS);
    curs_set(0);
    s->has_colours = has_colors() && text_may_be_coloured() && start_color() == OK &&
                     use_default_colors() == OK;
    if (!s->has_colours)
        return;
    init_pair(ENDED, COLOR_YELLOW, -1);
    init_pair(RUNNING, COLOR_GREEN, -1);
    init_pair(SAID, COLOR_RED, -1);
}

int top_screen(struct top *top, uint64_t count) {
    struct screen s = {.top = top};
    const struct sigaction stops = {.sa_handler = ask_to_stop};
    sigaction(SIGHUP, &stops, NULL);
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        cli_say(top->cli->program, 'E', "cannot draw on the terminal");
        return CLI_FAILED;
    }
    top->is_on_screen = true;
    prepare_terminal(&s);
    int status = show(&s, count);
    endwin();
    delscreen(screen);
    return status;
}
