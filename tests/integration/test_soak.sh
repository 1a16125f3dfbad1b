#!/bin/sh
# SPDX-License-Identifier: MIT
# timeout: 180
# The short form of the soak.
exec sh "$SRC/tests/soak/run.sh" --short
