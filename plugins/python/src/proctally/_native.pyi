# SPDX-License-Identifier: MIT
# Made by cffi at build time, from proctally.h and glue.c.
from typing import Any

ffi: Any
lib: Any
