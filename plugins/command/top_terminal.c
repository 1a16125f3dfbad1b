/* SPDX-License-Identifier: MIT */
/* Is there a terminal that `proctally top` can draw on? A file of its own, as <term.h> makes
 * macros of common words. */
#include "top.h"

#include <curses.h>
#include <stdlib.h>
#include <term.h>
#include <unistd.h>

/* Knows terminfo the type, and can the cursor go anywhere? */
static bool can_draw_on(const char *type) {
    int why;
    if (setupterm(type, STDOUT_FILENO, &why) != OK)
        return false;
    const char *address = tigetstr("cup");
    const bool can = address && (intptr_t)address != -1;
    del_curterm(cur_term);
    return can;
}

bool top_screen_is_possible(const struct cli_program *program) {
    const char *type = getenv("TERM");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        cli_say(program, 'E',
                "standard input and output are not both a terminal; expected one, or -b for plain "
                "text");
        return false;
    }
    if (type && *type && can_draw_on(type))
        return true;
    cli_say(program, 'E',
            "cannot draw on a terminal of the type \"%s\"; expected one in TERM that terminfo "
            "knows, or -b for plain text",
            type ? type : "");
    return false;
}
