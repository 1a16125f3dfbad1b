/* SPDX-License-Identifier: MIT */
/* Run by fs.sh: the same with solganik/procstat, if there is a build of it. */
#include <procstat.h>

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t value;

static void *loop(void *context) {
    procstat_loop(context);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    struct procstat_context *context = procstat_create(argv[1]);
    pthread_t thread;
    char name[32], byte;
    if (!context)
        return 1;
    for (unsigned long i = 0; i < strtoul(argv[2], NULL, 10); i++) {
        snprintf(name, sizeof(name), "value%05lu", i);
        if (procstat_create_u64(context, NULL, name, &value) != 0)
            return 1;
    }
    pthread_create(&thread, NULL, loop, context);
    printf("registered\n");
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    procstat_stop(context);
    pthread_join(thread, NULL);
    procstat_destroy(context);
    return 0;
}
