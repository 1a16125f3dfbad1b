# SPDX-License-Identifier: MIT
"""The examples of the manual page, of README.md and of docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import proctally
import pytest

PACKAGE = Path(__file__).parent.parent


def examples():
    page = (PACKAGE / "proctally-python.7").read_text()
    for i, text in enumerate(re.findall(r'^\.\\" python\n\.nf\n(.*?)^\.fi$', page, re.S | re.M)):
        text = re.sub(r"^\\&", "", text, flags=re.M)
        yield f"page-{i}", text.replace(r"\-", "-").replace(r"\(aq", "'").replace(r"\e", "\\")
    readme = (PACKAGE / "README.md").read_text()
    for i, text in enumerate(re.findall(r"^```python\n(.*?)^```$", readme, re.S | re.M)):
        yield f"readme-{i}", text.replace('["make", "-j4"]', '["true"]')


EXAMPLES = dict(examples())


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, tmp_path):
    done = subprocess.run([sys.executable, "-W", "error", "-c", EXAMPLES[name]], cwd=tmp_path,
                          capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_there_are_examples():
    assert len(EXAMPLES) >= 7


@pytest.mark.parametrize("name", sorted(m.name for m in pkgutil.iter_modules(proctally.__path__)))
def test_docstrings(name, capsys):
    module = importlib.import_module("proctally." + name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS,
                             globs={**vars(module), **{n: getattr(proctally, n) for n in
                                                       proctally.__all__}})
    assert result.failed == 0, capsys.readouterr().out


def test_everything_has_a_docstring():
    for name in proctally.__all__:
        one = getattr(proctally, name)
        if callable(one):
            assert one.__doc__, name


def test_star_has_all():
    names: dict[str, object] = {}
    exec("from proctally import *", names)
    public = {name for name, value in vars(proctally).items()
              if not name.startswith("_") and not isinstance(value, type(sys))
              and getattr(value, "__module__", "proctally").startswith("proctally")}
    assert public <= set(names)
