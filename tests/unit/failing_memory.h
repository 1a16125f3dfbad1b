/* SPDX-License-Identifier: MIT */
/* Memory that runs out: the program is linked with --wrap for what allocates. */
#ifndef FAILING_MEMORY_H
#define FAILING_MEMORY_H

/* The one with this number fails; 0: none. They are counted while it is set. */
extern long allocations, fail_allocation_at;

#endif
