/* SPDX-License-Identifier: MIT */
/*
 * Both sides of test_matrix.py.
 *
 *     matrix watch [OPTION=VALUE...]
 *                      opens a collector with source procfs and one with bpf. For each line
 *                      of pids on its input both collect, right after each other; prints one
 *                      line of JSON with all that either says of each of these processes
 *     matrix be WORD   becomes a process in a condition that is known, prints the pid that it
 *                      is about when it is so, and stays until its input ends
 *     matrix be later-WORD
 *                      the same, but says the pid first, and waits for a byte of its input
 */
#define _GNU_SOURCE
#include <proctally.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
    fprintf(stderr, "matrix: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- Watching ---------------------------------------------------------------------- */

static tally *open_collector(const char *source, char **options) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = TALLY_KEEP_PROCESSES};
    struct tally_error error = {"out of memory"};
    tally_config *config;
    tally *t = NULL;
    int r = tally_config_new(&config);
    if (r == 0)
        r = tally_config_set(config, "source", source, &error);
    for (; r == 0 && *options; options++) {
        char name[64];
        const char *value = strchr(*options, '=');
        if (!value)
            die(*options);
        snprintf(name, sizeof(name), "%.*s", (int)(value - *options), *options);
        r = tally_config_set(config, name, value + 1, &error);
    }
    if (r == 0)
        r = tally_new(config, &opts, &t, &error);
    if (r < 0) {
        fprintf(stderr, "%s\n", error.text);
        exit(r == -ENOTSUP || r == -EPERM ? 77 : 1);
    }
    tally_config_free(config);
    return t;
}

static void print_text(const char *key, const char *text) {
    printf("\"%s\": ", key);
    if (!text) {
        printf("null, ");
        return;
    }
    putchar('"');
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else
            putchar(*text);
    printf("\", ");
}

static void print_process(const tally_snapshot *s, size_t i) {
    const struct tally_process *p = tally_snapshot_process(s, i);
    const struct tally_metric *m;
    uint64_t value;
    printf("\"%d\": {\"is\": {", (int)p->pid);
    print_text("name", p->name);
    print_text("user", p->user);
    print_text("group", p->group == TALLY_NO_GROUP ? NULL : tally_snapshot_group_name(s, p->group));
    printf("\"ppid\": %d, \"start\": %llu, \"uid\": %u, \"state\": \"%c\", \"terminal\": %u}, "
           "\"has\": {",
           (int)p->ppid, (unsigned long long)p->start_ns, p->user ? (unsigned)p->uid : 0, p->state,
           (unsigned)p->terminal);
    const char *comma = "";
    for (size_t number = 0; (m = tally_metric(number)); number++) {
        if (m->scope != TALLY_SCOPE_GROUP)
            continue;
        printf("%s\"%s\": ", comma, m->id);
        comma = ", ";
        if (!tally_snapshot_process_value(s, i, number, &value))
            printf("null");
        else if (m->unit == TALLY_UNIT_SIGNED)
            printf("%lld", (long long)value);
        else
            printf("%llu", (unsigned long long)value);
    }
    printf("}}");
}

static void watch(char **options) {
    static const char *const sources[] = {"procfs", "bpf"};
    tally *collectors[2];
    const tally_snapshot *snapshots[2];
    char line[65536];
    for (int i = 0; i < 2; i++) {
        collectors[i] = open_collector(sources[i], options);
        if (tally_collect(collectors[i], &snapshots[i]) < 0)
            die("can't collect");
    }
    puts("{}");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        for (int i = 0; i < 2; i++)
            if (tally_collect(collectors[i], &snapshots[i]) < 0)
                die("can't collect");
        putchar('{');
        for (int i = 0; i < 2; i++) {
            const char *comma = "";
            printf("%s\"%s\": {", i ? ", " : "", sources[i]);
            for (size_t at = 0; at < tally_snapshot_processes(snapshots[i]); at++) {
                char word[16], all[65536 + 2];
                snprintf(word, sizeof(word), " %d ",
                         (int)tally_snapshot_process(snapshots[i], at)->pid);
                snprintf(all, sizeof(all), " %.*s ", (int)strcspn(line, "\n"), line);
                if (!strstr(all, word))
                    continue;
                printf("%s", comma);
                comma = ", ";
                print_process(snapshots[i], at);
            }
            putchar('}');
        }
        puts("}");
        fflush(stdout);
    }
    for (int i = 0; i < 2; i++)
        tally_free(collectors[i]);
}

/* ---- Being -------------------------------------------------------------------------- */

static void stay(void) {
    char byte;
    while (read(0, &byte, 1) > 0)
        ;
    exit(0);
}

static void say(pid_t pid) {
    printf("%d\n", (int)pid);
    fflush(stdout);
}

/* Forks a child that ends with its parent. In the parent: its pid. */
static pid_t start_child(void) {
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static void burn(long ms) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    const long long end = now.tv_sec * 1000000000LL + now.tv_nsec + ms * 1000000LL;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while (now.tv_sec * 1000000000LL + now.tv_nsec < end);
}

static void be_stopped(void) {
    pid_t pid = start_child();
    if (pid == 0) {
        raise(SIGSTOP);
        _exit(0);
    }
    waitpid(pid, NULL, WUNTRACED);
    say(pid);
    stay();
}

static void be_traced(void) {
    pid_t pid = start_child();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGUSR1);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    say(pid);
    stay();
}

static void be_zombie(void) {
    pid_t pid = start_child();
    if (pid == 0) {
        burn(30);
        _exit(0);
    }
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    say(pid);
    stay();
}

/* Alive when it is said first, a zombie then. */
static void be_dying(void) {
    pid_t pid = start_child();
    if (pid == 0) {
        burn(30);
        stay();
    }
    char byte;
    say(pid);
    if (read(0, &byte, 1) != 1)
        exit(1);
    kill(pid, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    say(pid);
    stay();
}

/* Its child has its memory until it executes a program: it is not to be interrupted. */
static void be_vforking(void) {
    static char self[16];
    snprintf(self, sizeof(self), "%d\n", (int)getpid());
    pid_t pid = vfork();
    if (pid == 0) {
        struct timespec nap = {0, 50000000};
        char byte;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        nanosleep(&nap, NULL);
        if (write(1, self, strlen(self)) < 0)
            _exit(1);
        while (read(0, &byte, 1) > 0)
            ;
        _exit(0);
    }
    exit(0);
}

static void *wait_in_thread(void *data) {
    pause();
    return data;
}

static void be_threads(void) {
    pthread_t thread;
    for (int i = 0; i < 40; i++)
        if (pthread_create(&thread, NULL, wait_in_thread, NULL) != 0)
            die("pthread_create");
}

static void *burn_in_thread(void *data) {
    burn(5);
    return data;
}

/* What they used stays the process's. */
static void be_ended_threads(void) {
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, burn_in_thread, NULL) != 0)
            die("pthread_create");
        pthread_join(thread, NULL);
    }
}

static void be_memory(const char *what) {
    const size_t size = (size_t)24 << 20;
    int fd = -1, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if (strcmp(what, "shared") == 0)
        flags = MAP_SHARED | MAP_ANONYMOUS;
    if (strcmp(what, "file") == 0) {
        char path[] = "/var/tmp/pt-matrix-XXXXXX";
        fd = mkstemp(path);
        if (fd < 0 || unlink(path) < 0 || ftruncate(fd, (off_t)size) < 0)
            die(path);
        flags = MAP_SHARED;
    }
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (at == MAP_FAILED)
        die("mmap");
    memset(at, 1, size);
    if (strcmp(what, "locked") == 0 && mlock(at, size) < 0)
        die("mlock");
#ifdef MADV_PAGEOUT
    if (strcmp(what, "swapped") == 0)
        madvise(at, size, MADV_PAGEOUT);
#endif
}

static void be_orphan(void) {
    /* by a parent that is gone at once; the grandchild is told by a pipe of its own */
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid > 0) {
        waitpid(pid, NULL, 0);
        stay();
    }
    pid = fork();
    if (pid != 0)
        _exit(pid < 0);
    struct timespec nap = {0, 50000000};
    nanosleep(&nap, NULL);
    say(getpid());
    stay();
}

/* Two of one number: the one that is said is the second. */
static void be_reused(void) {
    pid_t first = start_child();
    if (first == 0) {
        burn(200);
        stay();
    }
    say(first); /* so that it can be seen */
    char byte;
    if (read(0, &byte, 1) != 1)
        exit(1);
    kill(first, SIGKILL);
    waitpid(first, NULL, 0);
    pid_t wanted = first;
    struct clone_args args = {.exit_signal = SIGCHLD,
                              .set_tid = (uint64_t)(uintptr_t)&wanted,
                              .set_tid_size = 1};
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid < 0) {
        puts("0");
        fflush(stdout);
        stay();
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        burn(30);
        say(getpid());
        stay();
    }
    waitpid((pid_t)pid, NULL, 0);
    exit(0);
}

/* What its counters have to say of it. */
static void be_work(void) {
    char path[] = "/var/tmp/pt-matrix-XXXXXX", piece[4096];
    struct timespec nap = {0, 1000000};
    int fd = mkstemp(path);
    memset(piece, 1, sizeof(piece));
    if (fd < 0 || unlink(path) < 0)
        die(path);
    for (int i = 0; i < 256; i++)
        if (write(fd, piece, sizeof(piece)) != sizeof(piece))
            die(path);
    fsync(fd);
    for (int i = 0; i < 256; i++)
        if (pread(fd, piece, sizeof(piece), i * 4096) != sizeof(piece))
            die(path);
    for (int i = 0; i < 50; i++)
        nanosleep(&nap, NULL);
    burn(200);
}

/* One that listens, both ends of a connection, one of UDP, and a pair of local ones. */
static void be_sockets(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    const int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0),
              udp = socket(AF_INET, SOCK_DGRAM, 0);
    int pair[2];
    if (bind(listener, (void *)&address, len) < 0 || listen(listener, 8) < 0 ||
        bind(udp, (void *)&address, len) < 0 ||
        getsockname(listener, (void *)&address, &len) < 0 ||
        connect(client, (void *)&address, len) < 0 || accept(listener, NULL, NULL) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        die("sockets");
}

static void be_parent(void) {
    pid_t pid = start_child();
    if (pid == 0) {
        be_work();
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void be(const char *word, char *program) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strncmp(word, "later-", 6) == 0) {
        char byte;
        word += 6;
        say(getpid());
        if (read(0, &byte, 1) != 1)
            exit(1);
    }
    if (strcmp(word, "stopped") == 0)
        be_stopped();
    if (strcmp(word, "traced") == 0)
        be_traced();
    if (strcmp(word, "zombie") == 0)
        be_zombie();
    if (strcmp(word, "dying") == 0)
        be_dying();
    if (strcmp(word, "vforking") == 0)
        be_vforking();
    if (strcmp(word, "orphan") == 0)
        be_orphan();
    if (strcmp(word, "reused") == 0)
        be_reused();
    if (strcmp(word, "executed") == 0) {
        be_work();
        be_memory("anonymous");
        execl(program, program, "be", "sleeping", (char *)NULL);
        die(program);
    }
    if (strcmp(word, "threads") == 0)
        be_threads();
    if (strcmp(word, "ended-threads") == 0)
        be_ended_threads();
    if (strcmp(word, "niced") == 0 && setpriority(PRIO_PROCESS, 0, 7) < 0)
        die("nice");
    if (strcmp(word, "favoured") == 0 && setpriority(PRIO_PROCESS, 0, -11) < 0)
        die("nice");
    if (strcmp(word, "fifo") == 0 || strcmp(word, "idle-class") == 0) {
        const struct sched_param how = {.sched_priority = *word == 'f' ? 5 : 0};
        if (sched_setscheduler(0, *word == 'f' ? SCHED_FIFO : SCHED_IDLE, &how) < 0)
            die("sched_setscheduler");
    }
    if (strcmp(word, "descriptors") == 0)
        for (int i = 0; i < 300; i++)
            if (dup(0) < 0)
                die("dup");
    if (strcmp(word, "sockets") == 0)
        be_sockets();
    if (strncmp(word, "memory-", 7) == 0)
        be_memory(word + 7);
    if (strcmp(word, "oom-adjusted") == 0) {
        int fd = open("/proc/self/oom_score_adj", O_WRONLY);
        if (fd < 0 || write(fd, "500", 3) != 3)
            die("oom_score_adj");
        close(fd);
    }
    if (strcmp(word, "another-user") == 0 && (setgid(61234) < 0 || setuid(61234) < 0))
        die("setuid");
    if (strcmp(word, "session") == 0 && setsid() < 0 && errno != EPERM)
        die("setsid");
    if (strcmp(word, "named") == 0)
        prctl(PR_SET_NAME, "an\xff other\n");
    if (strcmp(word, "work") == 0)
        be_work();
    if (strcmp(word, "parent") == 0)
        be_parent();
    say(getpid());
    if (strcmp(word, "running") == 0)
        for (;;)
            burn(1000);
    stay();
}

int main(int argc, char **argv) {
    if (argc >= 2 && strcmp(argv[1], "watch") == 0)
        watch(argv + 2);
    else if (argc == 3 && strcmp(argv[1], "be") == 0)
        be(argv[2], argv[0]);
    else
        return 2;
    return 0;
}
