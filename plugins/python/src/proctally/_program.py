# SPDX-License-Identifier: MIT
"""The program proctally, which watches commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from ._native import ffi, lib


def path() -> str:
    """Where it is: in this package, or where the library was found that this was built for."""
    found: bytes = ffi.string(lib.program_path())
    return os.fsdecode(found) if found else str(Path(__file__).parent / "bin" / "proctally")


def main() -> NoReturn:
    """What stands on PATH: becomes the program."""
    os.execv(path(), sys.argv)
