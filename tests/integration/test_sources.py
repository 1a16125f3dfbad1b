#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""examples/cross.sh: archives of sources that the mirror lacks come from other ones, and only
if they are what the mirror's index says."""
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from common import *

HELPER = "/usr/lib/apt/apt-helper"
TAR, DIFF = "sample_1.orig.tar.bz2", "sample_1-1.debian.tar.xz"
WHOLE = b"what the index means"

# What apt-get says and leaves where an archive is there (DIFF) and where it is not (TAR).
APT_GET = """#!/bin/sh
case "$*" in
*update*) ;;
*--print-uris*--tar-only*)
    echo "Reading package lists..."
    echo "'http://mirror.invalid/debian/pool/main/s/sample/%(tar)s' %(tar)s %(size)d SHA256:%(sum)s"
    ;;
*--diff-only*)
    echo changes >%(diff)s
    exit ${CUT_OFF:-0}
    ;;
*)
    echo "E: Failed to fetch http://mirror.invalid/debian  404  Not Found" >&2
    echo half >%(tar)s.FAILED
    exit 100
    ;;
esac
""" % {"tar": TAR, "diff": DIFF, "size": len(WHOLE), "sum": hashlib.sha256(WHOLE).hexdigest()}

FETCH = """
set -eu
top=$1 log=$1/log
. "$2/examples/cross.sh"
fetch sample
"""


def pool(content):
    """The address of a mirror that has these bytes as every archive, or nothing."""
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    later(server.server_close)
    later(server.shutdown)
    return "http://127.0.0.1:%d/debian/" % server.server_port


def fetched(directory, *pools, cut_off=0):
    """What is there of the sources, if fetch says that all are; None if it says no."""
    status, out, err = run(["sh", "-c", FETCH, "sh", directory, SRC], env={
        "PATH": directory + "/bin:" + os.environ["PATH"], "MIRROR": "http://mirror.invalid/debian",
        "POOLS": " ".join(pools), "no_proxy": "127.0.0.1", "CUT_OFF": "%d" % cut_off})
    if status:
        return None
    return {n: read_bytes(directory + "/sources/" + n)
            for n in os.listdir(directory + "/sources") if n.startswith("sample")}


def read_bytes(path):
    with open(path, "rb") as f:
        return f.read()


def begin():
    if not os.path.exists(HELPER):
        raise Skipped("%s is missing" % HELPER)
    directory = temp_dir()
    os.mkdir(directory + "/bin")
    write_text(directory + "/bin/apt-get", APT_GET)
    os.chmod(directory + "/bin/apt-get", 0o755)
    return directory


def case_other_mirror():
    found = fetched(begin(), pool(b""), pool(WHOLE))
    check_equal(found, {TAR: WHOLE, DIFF: b"changes\n"}, "what is there")


def case_other_bytes():
    """Refused, the second time as well; the next one's are taken."""
    directory, wrong = begin(), pool(WHOLE.replace(b"index", b"thief"))
    for _ in range(2):
        check_equal(fetched(directory, wrong), None, "what is there")
    check_equal(fetched(directory, wrong, pool(WHOLE))[TAR], WHOLE, TAR)


def case_cut_off():
    """What apt leaves of an archive that it could not fetch to its end is none."""
    directory, other = begin(), pool(WHOLE)
    for _ in range(2):
        check_equal(fetched(directory, other, cut_off=100), None, "what is there")


if __name__ == "__main__":
    run_cases(sys.modules[__name__])
