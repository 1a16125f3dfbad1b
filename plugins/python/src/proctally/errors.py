# SPDX-License-Identifier: MIT
"""What the library says, as exceptions."""

from __future__ import annotations

import errno
import os
import re
from typing import Any, NoReturn

from ._native import ffi


class ConfigError(ValueError):
    """A mistake in the configuration. Its text is the sentence that the programs say: what,
    where, and what was expected."""

    #: The file, or the option whose text it was ("process_names"); None: an argument.
    file: str | None
    #: The line in it, from 1 on.
    line: int | None

    def __init__(self, text: str) -> None:
        super().__init__(text)
        place = re.match(r"(.+?):(\d+): ", text)
        self.file = place.group(1) if place else None
        self.line = int(place.group(2)) if place else None


def raise_error(r: int, error: Any = None, path: str | None = None) -> NoReturn:
    """For a negative errno; error is a struct tally_error, path what was to be opened."""
    text = ffi.string(error.text).decode(errors="replace") if error else ""
    if r == -errno.ENOMEM:
        raise MemoryError(text)
    if not path and r in (-errno.EINVAL, -errno.ENOENT, -errno.ENOTSUP) and text:
        raise ConfigError(text)
    if path and r in (-errno.EINVAL, -errno.ENOTSUP):
        raise ConfigError(text)
    # OSError makes FileNotFoundError of ENOENT, ProcessLookupError of ESRCH, and so on
    raise OSError(-r, text or os.strerror(-r), *([path] if path else []))
