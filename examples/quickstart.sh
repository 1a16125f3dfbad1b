#!/bin/sh
# From a bare machine to this machine's groups of processes, in Prometheus format
# on standard output: installs what the build needs (apt or dnf), builds, shows.
# Again: does only what is still to do. What happens is told on standard error.
set -eu

cd "$(dirname "$0")/.."
log=$(pwd)/quickstart.log

say() {
    printf 'proctally: %s\n' "$*" >&2
}
run() {
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 25 "$log" >&2
        say "failed: $* (all of its output: $log)"
        exit 1
    fi
}

if ! sh tests/install-deps.sh build; then
    say "could not install what the build needs"
    exit 1
fi

: >"$log"
if [ ! -f configure ]; then
    say "making configure"
    run ./autogen.sh
fi
if [ ! -f Makefile ]; then
    say "configuring"
    run ./configure
fi
[ -x plugins/textfile/proctally-textfile ] || say "building"
run make -j"$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)"

say "the groups of this machine, by plugins/textfile/proctally-textfile --once --output -"
exec plugins/textfile/proctally-textfile --once --output -
