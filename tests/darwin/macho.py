#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs for macOS, looked at where none can be run.

    macho.py check FILE CPU SYSTEM STUBS [STUBS...]   CPU arm64 or x86_64, SYSTEM such as 11.0
    macho.py stub OUT NAME HERE...           what HERE (shared libraries of Linux) export, as the
                                             list of what the library NAME of macOS does
    macho.py universal OUT FILE FILE...      one file for several CPUs

check: it is a program for that CPU which starts on that system and later ones, needs no
library but the system's own and those of which a list is given, has a signature where the CPU
wants one, and every symbol that it imports is in STUBS (libSystem.tbd) or in one of those
lists. Prints how many there are; else what is wrong, and leaves with 1."""

import re
import struct
import subprocess
import sys

CPUS = {"arm64": (0x0100000C, 0), "x86_64": (0x01000007, 3)}
EXECUTE, PIE, MAGIC = 2, 0x200000, 0xFEEDFACF
SYMTAB, LOAD_DYLIB, VERSION_MIN, BUILD_VERSION, SIGNATURE = 0x2, 0xC, 0x24, 0x32, 0x1D
WEAK_DYLIB, REEXPORT_DYLIB = 0x80000018, 0x8000001F
SYSTEM_LIBRARY = "/usr/lib/libSystem.B.dylib"


def fail(text):
    print(text)
    sys.exit(1)


def text_at(data, at):
    return data[at : data.index(b"\0", at)].decode()


def imports(data, command):
    """The names of undefined symbols."""
    symbols, count, texts, _ = struct.unpack_from("<4I", data, command + 8)
    for i in range(count):
        name, kind, _, _, value = struct.unpack_from("<IBBHQ", data, symbols + 16 * i)
        if not kind & 0xE0 and kind & 0x0E == 0 and kind & 1 and value == 0:
            yield text_at(data, texts + name)


def read(path):
    """What a thin file says of itself."""
    data = open(path, "rb").read()
    if len(data) < 32 or struct.unpack_from("<I", data)[0] != MAGIC:
        fail(f"{path} is no Mach-O file of 64 bits")
    _, cpu, subtype, kind, count, _, flags, _ = struct.unpack_from("<8I", data)
    found = {"cpu": (cpu, subtype & 0xFFFFFF), "kind": kind, "flags": flags, "libraries": [],
             "system": None, "signed": False, "imports": []}
    at = 32
    for _ in range(count):
        command, size = struct.unpack_from("<2I", data, at)
        if command in (LOAD_DYLIB, WEAK_DYLIB, REEXPORT_DYLIB):
            found["libraries"].append(text_at(data, at + struct.unpack_from("<I", data, at + 8)[0]))
        elif command == BUILD_VERSION:
            platform, version = struct.unpack_from("<2I", data, at + 8)
            found["system"] = version if platform == 1 else None
        elif command == VERSION_MIN:
            found["system"] = struct.unpack_from("<I", data, at + 8)[0]
        elif command == SIGNATURE:
            found["signed"] = True
        elif command == SYMTAB:
            found["imports"] = list(imports(data, at))
        at += size
    return found


def stubs(path, cpu):
    """The symbols that the stub list has for this CPU."""
    ours = {f"{cpu}-macos", "arm64e-macos" if cpu == "arm64" else f"{cpu}-macos"}
    text = open(path, encoding="utf-8").read()
    names = set()
    for part in re.split(r"^ *- targets:", text, flags=re.M)[1:]:
        targets = re.match(r"\s*\[([^]]*)\]", part)
        if not targets or not ours & {t.strip() for t in targets[1].split(",")}:
            continue
        for listed in re.findall(r"^ *(?:weak-|thread-local-)?symbols:\s*\[([^]]*)\]", part, re.M):
            names.update(n.strip().strip("'") for n in listed.split(","))
    return names


def install_name(path):
    return re.search(r"^install-name:\s*'([^']*)'", open(path, encoding="utf-8").read(), re.M)[1]


def stub(out, name, libraries):
    symbols = set()
    for library in libraries:
        for line in subprocess.run(["nm", "-D", "--defined-only", library], check=True,
                                   stdout=subprocess.PIPE, text=True).stdout.splitlines():
            symbol = line.split()[-1].split("@")[0]
            if re.fullmatch(r"\w+", symbol):
                symbols.add("_" + symbol)
    targets = "[ arm64-macos, x86_64-macos ]"
    with open(out, "w", encoding="utf-8") as file:
        file.write(f"""--- !tapi-tbd
tbd-version: 4
targets: {targets}
install-name: '{name}'
exports:
  - targets: {targets}
    symbols: [ {", ".join(sorted(symbols))} ]
...
""")


def check(path, cpu, system, stub_list, more):
    found = read(path)
    major, minor = (int(n) for n in system.split("."))
    if found["cpu"] != CPUS[cpu] or found["kind"] != EXECUTE or not found["flags"] & PIE:
        fail(f"{path} is no program for {cpu}, with a place of its own each time")
    if found["system"] != major << 16 | minor << 8:
        fail(f"{path} is for another system than macOS {system}: {found['system']}")
    allowed = {SYSTEM_LIBRARY, *map(install_name, more)}
    if SYSTEM_LIBRARY not in found["libraries"] or set(found["libraries"]) - allowed:
        fail(f"{path} needs {found['libraries']}, expected only {sorted(allowed)}")
    if cpu == "arm64" and not found["signed"]:
        fail(f"{path} is not signed, and would not be started")
    known = stubs(stub_list, cpu)
    if len(known) < 1000 or "_sysctlbyname" not in known:
        fail(f"{stub_list} is not understood")
    for one in more:
        known |= stubs(one, cpu)
    missing = sorted(set(found["imports"]) - known)
    if missing or not found["imports"]:
        fail(f"{path} imports what macOS does not have: {' '.join(missing) or 'nothing at all'}")
    print(len(set(found["imports"])))


def universal(out, paths):
    """Big-endian, each part at a multiple of 16 KiB."""
    parts, at = [], 1 << 14
    for path in paths:
        data = open(path, "rb").read()
        parts.append((read(path)["cpu"], at, data))
        at = (at + len(data) + (1 << 14) - 1) >> 14 << 14
    with open(out, "wb") as file:
        file.write(struct.pack(">2I", 0xCAFEBABE, len(parts)))
        for (cpu, subtype), place, data in parts:
            file.write(struct.pack(">5I", cpu, subtype, place, len(data), 14))
        for _, place, data in parts:
            file.seek(place)
            file.write(data)


if len(sys.argv) >= 6 and sys.argv[1] == "check":
    check(*sys.argv[2:6], sys.argv[6:])
elif len(sys.argv) > 4 and sys.argv[1] == "stub":
    stub(sys.argv[2], sys.argv[3], sys.argv[4:])
elif len(sys.argv) > 3 and sys.argv[1] == "universal":
    universal(sys.argv[2], sys.argv[3:])
else:
    sys.exit(__doc__)
