/* SPDX-License-Identifier: MIT */
/* proctally-fs: what each group of processes uses, as files. */
#include "cli.h"
#include "content.h"
#include "demand.h"
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct cli_flag own_flags[] = {
    {.name = "foreground", .is_switch = true,
     .help = "Stay in the foreground. Else the program goes to the background as soon as the files "
             "are there."},
    {.name = "allow-other", .is_switch = true,
     .help = "All users may read the files. Else only who started the program may, and not even "
             "root."},
    {.name = "min-age", .argument = "DURATION",
     .help = "Values that are not older are shown. With the option interval nobody's looking "
             "collects. Default: 1s"},
};

static const struct cli_program program = {
    .name = "proctally-fs",
    .summary = "Shows what each group of processes uses as files below an empty directory, "
               "collected when they are looked at, or in the background if the option interval is "
               "given.",
    .arguments = "MOUNTPOINT",
    .flags = own_flags,
    .flag_count = sizeof(own_flags) / sizeof(own_flags[0]),
};

struct fs {
    struct demand demand;
    struct content *content;
    struct tree *tree;
    int told_fd; /* where somebody waits to be told that the files are there; or -1 */
    int null_fd; /* what then is input and output */
};

/* ---- Collecting ---------------------------------------------------------------------------- */

/* A new snapshot, and new files. -errno. */
static int collect(struct fs *fs) {
    int r = demand_collect(&fs->demand);
    if (r < 0)
        (void)content_set(fs->content, NULL);
    else
        r = content_set(fs->content, fs->demand.service->snapshot);
    if (r == -ENOMEM)
        cli_say(&program, 'E', "out of memory");
    if (r < 0)
        fs->demand.collected_ns = 0;
    tree_changed(fs->tree);
    return r < 0 ? -EIO : 0;
}

/* Somebody looks. */
static int refresh(void *data) {
    struct fs *fs = data;
    if (demand_is_fresh(&fs->demand))
        return 0;
    /* in the background it failed, and is tried again at the next beat */
    return demand_is_background(&fs->demand) ? -EIO : collect(fs);
}

/* ---- Begin ------------------------------------------------------------------------------------ */

/* In the parent: the first byte says that the files are there. */
_Noreturn static void await(int fd, pid_t child) {
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    char byte;
    int status;
    if (TEMP_FAILURE_RETRY(read(fd, &byte, 1)) == 1)
        _exit(CLI_DONE);
    if (TEMP_FAILURE_RETRY(waitpid(child, &status, 0)) == child && WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    _exit(CLI_FAILED);
}

/* Goes on in a child of no terminal. What it has to say until the files are there is still
 * heard. */
static int leave_foreground(struct fs *fs) {
    int ends[2];
    fs->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fs->null_fd < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    const pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child > 0) {
        close(ends[1]);
        await(ends[0], child);
    }
    close(ends[0]);
    fs->told_fd = ends[1];
    setsid();
    return 0;
}

/* False: whoever waited for them is gone, and wants them no more. */
static bool tell_that_they_are_there(struct fs *fs) {
    if (fs->told_fd < 0)
        return true;
    const bool is_heard = write(fs->told_fd, "", 1) == 1;
    close(fs->told_fd);
    for (int fd = 0; fd <= 2; fd++)
        (void)dup3(fs->null_fd, fd, 0);
    close(fs->null_fd);
    return is_heard;
}

static int check_arguments(const struct cli *cli) {
    if (cli_flag(cli, "once")) {
        cli_say(&program, 'E', "--once is given; expected none, as the files are there while the "
                               "program runs");
        return -EINVAL;
    }
    if (cli->argument_count != 1) {
        cli_say(&program, 'E', "got %zu directories; expected one, in which the files are to be",
                cli->argument_count);
        return -EINVAL;
    }
    return 0;
}

static int prepare(struct service *service) {
    struct fs *fs = service->data;
    const struct cli *cli = &service->cli;
    const struct tree_options options = {
        .mountpoint = cli->arguments[0],
        .allow_other = cli_switch(cli, "allow-other", false),
    };
    struct tally_error error = {""};
    if (check_arguments(cli) < 0 || demand_init(&fs->demand, service) < 0)
        return CLI_MISUSED;
    int r = cli_switch(cli, "foreground", false) ? 0 : leave_foreground(fs);
    if (r < 0) {
        cli_say(&program, 'E', "cannot go to the background: %s", strerror(-r));
        return CLI_FAILED;
    }
    if (content_new(refresh, fs, &fs->content) < 0) {
        cli_say(&program, 'E', "out of memory");
        return CLI_FAILED;
    }
    if (tree_new(&content_ops, fs->content, &options, &fs->tree, &error) < 0) {
        cli_say(&program, 'E', "%s", error.text);
        return CLI_FAILED;
    }
    return 0;
}

/* ---- Staying ----------------------------------------------------------------------------------- */

static int serve(struct fs *fs) {
    struct demand *demand = &fs->demand;
    struct service_signals *signals = &demand->service->signals;
    for (;;) {
        struct pollfd fds[2] = {{.fd = signals->fd, .events = POLLIN},
                                {.fd = tree_fd(fs->tree), .events = POLLIN}};
        service_poll(fds, 2, demand_until_ns(demand));
        if (fds[0].revents)
            service_signals_take(signals);
        if (signals->stop)
            return CLI_DONE;
        if (signals->poke || demand_must_watch(demand))
            demand_reload(demand, signals->poke);
        signals->poke = false;
        if (demand_is_due(demand) && demand_is_background(demand)) {
            (void)collect(fs);
            demand_next_beat(demand);
        } else if (demand_is_due(demand)) {
            (void)demand_look(demand);
        }
        const int r = fds[1].revents ? tree_serve(fs->tree) : 0;
        if (r > 0) {
            cli_say(&program, 'I', "%s has been unmounted", demand->service->cli.arguments[0]);
            return CLI_DONE;
        }
        if (r < 0) {
            cli_say(&program, 'E', "the kernel hands over no more requests: %s", strerror(-r));
            return CLI_FAILED;
        }
    }
}

static int run(struct service *service) {
    struct fs *fs = service->data;
    if (collect(fs) == 0) /* what is shown first counts from here */
        demand_say(&fs->demand);
    if (demand_is_background(&fs->demand))
        demand_next_beat(&fs->demand);
    return tell_that_they_are_there(fs) ? serve(fs) : CLI_FAILED;
}

int main(int argc, char **argv) {
    static const int pokes[] = {SIGHUP, 0}; /* reload now */
    static struct fs fs = {.told_fd = -1};
    static const struct service_work work = {
        .pokes = pokes,
        .data = &fs,
        .keep = TALLY_KEEP_PROCESSES | TALLY_KEEP_HOST,
        .prepare = prepare,
        .run = run,
    };
    int status = service_main(&program, &work, argc, argv);
    tree_free(fs.tree);
    content_free(fs.content);
    return status;
}
