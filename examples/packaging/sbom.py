#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is in static programs: sbom.py VERSION MACHINE BUILT ZIG TO

BUILT is DIRECTORY/MACHINE of examples/static-musl.sh. Puts a bill of materials (CycloneDX 1.6)
as sbom.cdx.json and the texts of the licences, licenses/LIBRARY/*, into the directory TO. A
library that it knows no licence of is a mistake."""
import hashlib
import json
import os
import re
import shutil
import sys
import time
from urllib.parse import quote

# Debian's source package: licence of the library (of what is linked of it), the files that have
# its text
LICENCES = {
    "gmp": ("LGPL-3.0-or-later OR GPL-2.0-or-later", ["COPYING.LESSERv3", "COPYINGv2", "COPYINGv3"]),
    # with libtasn1 and libunistring, which it brings along
    "gnutls28": ("LGPL-2.1-or-later AND (LGPL-3.0-or-later OR GPL-2.0-or-later)",
                 ["COPYING.LESSERv2", "COPYING"]),
    "libcap2": ("BSD-3-Clause OR GPL-2.0-only", ["License"]),
    "libmicrohttpd": ("LGPL-2.1-or-later", ["COPYING"]),
    "libmnl": ("LGPL-2.1-or-later", ["COPYING"]),
    "libseccomp": ("LGPL-2.1-only", ["LICENSE"]),
    "libyaml": ("MIT", ["License"]),
    "nettle": ("LGPL-3.0-or-later OR GPL-2.0-or-later",
               ["COPYING.LESSERv3", "COPYINGv2", "COPYINGv3"]),
    "pcre2": ("BSD-3-Clause", ["LICENCE.md"]),
    "zlib": ("Zlib", ["LICENSE"]),
}


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def component(name, version, licence, **more):
    return {"type": "library", "bom-ref": name, "name": name, "version": version,
            "licenses": [{"expression": licence}], **more}


def source(name, digest, comment):
    """An archive that it was built from."""
    return {"type": "source-distribution", "url": quote(name), "comment": comment,
            "hashes": [{"alg": "SHA-256", "content": digest}]}


def of_debian(built):
    """The libraries that were built of Debian's sources, by name."""
    found = {}
    for line in text_of(os.path.join(built, "sources.list")).splitlines():
        package, version, digest, name = line.split("\t")
        new = component(package, version, LICENCES[package][0],
                        purl="pkg:deb/debian/%s@%s?arch=source" % (package, quote(version)),
                        externalReferences=[])
        found.setdefault(package, new)["externalReferences"].append(
            source(name, digest, "as Debian distributes it, with Debian's patches applied"))
    return [found[name] for name in sorted(found)]


def of_zig(zig):
    """The C library and what the compiler adds are part of zig."""
    lib = os.path.join(os.path.dirname(os.path.realpath(zig)), "lib")
    version = re.search('VERSION "(.*)"', text_of(
        os.path.join(lib, "libc/musl/src/internal/version.h"))).group(1)
    return [component("musl", version, "MIT", purl="pkg:generic/musl@" + version,
                      description="the C library, as zig has it"),
            component("zig", os.popen("'%s' version" % zig).read().strip(), "MIT",
                      description="compiler and linker; of it the programs have compiler-rt")]


def of_here():
    header = text_of("/usr/include/uthash.h")
    return [component("uthash", re.search(r"#define UTHASH_VERSION (\S+)", header).group(1),
                      "BSD-1-Clause", description="a header", externalReferences=[
                          source("uthash.h", sha256("/usr/include/uthash.h"), "as compiled in")])]


def put_licences(built, zig, packages, to):
    texts = {name: [os.path.join(built, name, file) for file in LICENCES[name][1]]
             for name in packages}
    beside = os.path.dirname(os.path.realpath(zig))
    texts["zig"] = [os.path.join(beside, "LICENSE")]
    texts["musl"] = [os.path.join(beside, "lib/libc/musl/COPYRIGHT")]
    for name, files in texts.items():
        os.makedirs(os.path.join(to, name), exist_ok=True)
        for file in files:
            shutil.copyfile(file, os.path.join(to, name, os.path.basename(file)))
    os.makedirs(os.path.join(to, "uthash"), exist_ok=True)
    with open(os.path.join(to, "uthash", "LICENSE"), "w", encoding="utf-8") as file:
        file.write(re.match(r"/\*\n(.*?)\*/", text_of("/usr/include/uthash.h"), re.S).group(1))


def main():
    version, machine, built, zig, to = sys.argv[1:]
    libraries = of_debian(built)
    put_licences(built, zig, [l["name"] for l in libraries], os.path.join(to, "licenses"))
    libraries += of_zig(zig) + of_here()
    programs = [{"type": "file", "bom-ref": "bin/" + name, "name": "bin/" + name,
                 "hashes": [{"alg": "SHA-256",
                             "content": sha256(os.path.join(built, "bin", name))}]}
                for name in sorted(os.listdir(os.path.join(built, "bin")))]
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {
            # that of the sources, not of the build, which is to be the same each time
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ",
                                       time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"]))),
            "component": {"type": "application", "bom-ref": "proctally", "name": "proctally",
                          "version": version, "licenses": [{"expression": "MIT"}],
                          "description": "static programs for %s, Linux" % machine},
        },
        "components": programs + libraries,
        "dependencies": [{"ref": "proctally",
                          "dependsOn": [c["bom-ref"] for c in programs + libraries]}],
    }
    with open(os.path.join(to, "sbom.cdx.json"), "w", encoding="utf-8") as file:
        json.dump(bom, file, indent=2, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    main()
