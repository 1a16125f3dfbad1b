/* SPDX-License-Identifier: MIT */
/*
 * What container runtimes call their containers, from the files that they keep on the host:
 * no runtime is asked. Each container is looked up once. The files are written by root's
 * programs, but much in them is what users of containers wrote: anything may stand there.
 */
#ifndef CONTAINERS_H
#define CONTAINERS_H

#include "base/io.h"
#include "source/identity.h"

struct containers;

/* The files are looked for below the directory that `procfs` stands in; both parameters have
 * to live as long. -ENOMEM. */
int containers_new(const struct io *io, const char *procfs, struct containers **ret);
struct containers *containers_free(struct containers *c); /* returns NULL */

/* At the start of a collection: files that list all containers are read once in each. */
void containers_begin(struct containers *c);
/* Sets id->container_texts of a container that is called by an id, as far as they are known.
 * They are valid until the next call. -ENOMEM, -EMFILE, -ENFILE: try again later. */
int containers_name(struct containers *c, struct identity *id);

#endif
