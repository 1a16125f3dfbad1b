# SPDX-License-Identifier: MIT
"""Builds the library and the program with their own configure and make, and the module
_native over them. What is said about the package itself is in pyproject.toml.

PROCTALLY_USE_SYSTEM=1 takes the library and the program that pkg-config finds instead, below
PROCTALLY_SYSROOT while they are being packaged and not yet where they will be;
PROCTALLY_BUILD those of a build that is there already, of the sources PROCTALLY_SOURCE."""
from __future__ import annotations

import atexit
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from cffi import FFI
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
BUILD = os.environ.get("PROCTALLY_BUILD")
# in an sdist, and in the tree of which this is a part
SOURCES = HERE / "c" if (HERE / "c").is_dir() else HERE.parent.parent
SOURCES = Path(os.environ.get("PROCTALLY_SOURCE") or SOURCES)
USE_SYSTEM = os.environ.get("PROCTALLY_USE_SYSTEM", "0") not in ("", "0")
GLUE = HERE / "src" / "glue.c"
# for the compiler, which checks what cffi is told
FIRST_PYTHON = "0x030A0000"


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    print("+", shlex.join(map(str, command)), flush=True)
    subprocess.run(command, cwd=cwd, env=env, check=True)


def output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@dataclass
class Native:
    """What the module is made of."""

    header: Path
    program: Path
    objects: list[str] = field(default_factory=list)
    compile_args: list[str] = field(default_factory=list)
    link_args: list[str] = field(default_factory=list)


def system() -> Native:
    def ask(*what: str) -> str:
        return output(os.environ.get("PKG_CONFIG", "pkg-config"), *what, "proctally")

    root = os.environ.get("PROCTALLY_SYSROOT", "")
    libdir, includedir = ask("--variable=libdir"), ask("--variable=includedir")
    is_shared = Path(f"{root}{libdir}/libproctally.so").exists()
    libs = shlex.split(ask("--libs") if is_shared else ask("--static", "--libs"))
    if root:
        libs.insert(0, f"-L{root}{libdir}")
    if is_shared and not libdir.startswith(("/usr/lib", "/lib")):
        libs.append(f"-Wl,-rpath,{libdir}")
    return Native(
        header=Path(f"{root}{includedir}/proctally.h"),
        program=Path(ask("--variable=exec_prefix")) / "bin" / "proctally",
        compile_args=[f"-I{root}{includedir}", *shlex.split(ask("--cflags"))],
        link_args=libs,
    )


def configured(where: Path) -> Path:
    """Sources with a configure in which nobody has built."""
    if (SOURCES / "configure").exists() and not (SOURCES / "config.status").exists():
        return SOURCES
    # a build in the tree is in the way of one elsewhere
    run("sh", SOURCES / "tests" / "copy-sources.sh", where / "source")
    return where / "source"


def build(where: Path) -> Native:
    where = where.absolute() / "c"
    made = where / "made"
    made.mkdir(parents=True, exist_ok=True)
    source = configured(where)
    # A tarball's times may have been lost on the way here, and nothing is to be generated anew.
    tools = {name: ":" for name in ("ACLOCAL", "AUTOCONF", "AUTOHEADER", "AUTOMAKE")}
    tools["CPPFLAGS"] = f"{os.environ.get('CPPFLAGS', '')} -idirafter {SOURCES / 'bundled'}"
    run(source / "configure", "--quiet", "--without-collectd",
        "--without-exporter", "--disable-tests", cwd=made, env={**os.environ, **tools})
    run("make", f"-j{os.cpu_count() or 1}", "core/libproctally.a", "plugins/command/proctally",
        cwd=made)
    return built(source, made)


def built(source: Path, made: Path) -> Native:
    needs = re.search(r"^Requires\.private: *(.*)$", (made / "core/proctally.pc").read_text(), re.M)
    modules = needs.group(1).split() if needs else []
    libs = output(os.environ.get("PKG_CONFIG", "pkg-config"), "--libs", *modules) if modules else ""
    return Native(
        header=source / "core" / "proctally.h",
        program=made / "plugins" / "command" / "proctally",
        objects=[str(made / "core" / "libproctally.a")],
        compile_args=[f"-I{source / 'core'}"],
        link_args=shlex.split(libs) + ["-lpthread"],
    )


def declarations(header: Path, cc: str) -> str:
    """The header as cffi reads it: preprocessed, without what it includes."""
    text = re.sub(r"^#(include|pragma).*$", "", header.read_text(), flags=re.M)
    text = subprocess.run([*shlex.split(cc), "-E", "-P", "-x", "c", "-"], input=text, check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return ("typedef int pid_t; typedef unsigned uid_t; typedef unsigned mode_t;\n" + text +
            "\n#define TALLY_NO_GROUP ...\n")


def declared_here(glue: str) -> str:
    """What glue.c shows: its lines that begin with GLUE."""
    return "\n".join(line.removeprefix("GLUE ").rstrip(" {") + ";"
                     for line in glue.splitlines() if line.startswith("GLUE "))


def header_file(name: str) -> Path:
    """Where the compiler finds it."""
    done = subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-M", "-x", "c", "-"],
                          input=f"#include <{name}>", check=True, stdout=subprocess.PIPE, text=True)
    return next(Path(word) for word in done.stdout.split() if Path(word).name == name)


class BuildExt(build_ext):
    def run(self) -> None:
        temp = Path(self.build_temp)
        temp.mkdir(parents=True, exist_ok=True)
        native = (system() if USE_SYSTEM else built(SOURCES, Path(BUILD)) if BUILD
                  else build(temp))
        glue = GLUE.read_text()
        ffi = FFI()
        cc = os.environ.get("CC", "cc")
        ffi.cdef(declarations(native.header, cc) + declared_here(glue))
        program = f'"{native.program}"' if USE_SYSTEM else '""'
        ffi.set_source("proctally._native", f"#define PROGRAM {program}\n#define GLUE\n" + glue)
        source = temp / "_native.c"
        ffi.emit_c_code(str(source))
        extension = self.extensions[0]
        extension.sources = [str(source)]
        extension.extra_objects = native.objects
        extension.extra_compile_args = native.compile_args
        extension.extra_link_args = native.link_args
        super().run()
        if not USE_SYSTEM:
            target = Path(self.get_ext_fullpath(extension.name)).parent / "bin"
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(native.program, target / "proctally")
            run(os.environ.get("STRIP", "strip"), target / "proctally")


class Sdist(sdist):
    """With the sources of the library and the program, as in a release of theirs."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        target = Path(base_dir).absolute() / "c"
        if SOURCES == HERE / "c":
            shutil.copytree(SOURCES, target)
            return
        temp = Path(self.get_finalized_command("build").build_temp).absolute() / "sdist"
        shutil.rmtree(temp, ignore_errors=True)
        made = temp / "made"
        made.mkdir(parents=True)
        source = configured(temp)
        run(source / "configure", "--quiet", "--without-collectd", "--without-exporter",
            "--disable-tests", cwd=made)
        run("make", "distdir", "distdir=release", "am__remove_distdir=:", cwd=made)
        release = made / "release"
        for name in ("tests", "examples", "plugins/python"):
            shutil.rmtree(release / name, ignore_errors=True)
        shutil.copytree(release, target)
        (target / "bundled").mkdir()
        shutil.copy2(header_file("uthash.h"), target / "bundled")


def version() -> str:
    found = re.search(r"^AC_INIT\(\[proctally\], \[([^]]+)\]\)",
                      (SOURCES / "configure.ac").read_text(), re.M)
    assert found, "configure.ac names the version"
    return found.group(1)


temporary = tempfile.mkdtemp(prefix="proctally-")
atexit.register(shutil.rmtree, temporary, ignore_errors=True)
setup(
    version=version(),
    # an installed program stands on PATH already
    entry_points={} if USE_SYSTEM else
                 {"console_scripts": ["proctally = proctally._program:main"]},
    ext_modules=[Extension("proctally._native", sources=[], py_limited_api=True,
                           define_macros=[("Py_LIMITED_API", FIRST_PYTHON)])],
    cmdclass={"build_ext": BuildExt, "sdist": Sdist},
    # what is in the way of nobody who looks through the sources
    options={"build": {"build_base": temporary}, "bdist_wheel": {"py_limited_api": "cp310"}},
)
