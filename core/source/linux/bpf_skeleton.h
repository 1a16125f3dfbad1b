/* SPDX-License-Identifier: MIT */
/* The programs as bpftool wraps them, whose code has warnings of its own. */
#ifndef BPF_SKELETON_H
#define BPF_SKELETON_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "source/linux/kernel/proctally.skel.h"
#pragma GCC diagnostic pop

#endif
