#!/bin/sh
# From a bare machine to this machine's groups of processes: installs what the build needs
# (apt or dnf), builds, shows the groups that use most, and leaves all that is known of all
# of them in quickstart.prom, in Prometheus format. Again: does only what is still to do.
# What happens is told on standard error.
set -eu

cd "$(dirname "$0")/.."
log=$(pwd)/quickstart.log
textfile=plugins/textfile/proctally-textfile
command=plugins/command/proctally

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
[ -x $textfile ] || say "building"
run make -j"$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)"

# What a service here would lack: each reason with the number of metrics that it concerns, the
# most of them first. What an option would switch on is not missing.
missing() {
    $textfile --interval 10s --list-metrics --here |
        awk 'NR == 1 { at = index($0, "MISSING"); next }
            { reason = substr($0, at) }
            reason != "" && reason !~ /^(collect: |metrics, |a rule |a process that )/ &&
                reason !~ /^(source: bpf|state-file|macOS)$/ { count[reason]++ }
            END { for (reason in count)
                printf "  %3d metric%s: %s\n", count[reason],
                    (count[reason] > 1 ? "s" : ""), reason }' |
        sort -k 1,1nr -k 3
}

say "looking for two seconds"
# what they can't read is told below
run sh -c "exec $textfile --once --output - >quickstart.prom"
look=$($command top --batch --iterations 1 --interval 2s 2>>"$log") || {
    tail -n 25 "$log" >&2
    exit 1
}
missing=$(missing)

echo "The groups of processes that use most CPU time on this host:"
echo
# its head has lines for the host; the table begins behind an empty one. Without the traffic
# it fits into 80 columns.
printf '%s\n' "$look" | awk '
    table && ++rows == 1 { traffic = index($0, " RECV/s"); group = index($0, " GROUP") }
    table && rows <= 11 { print substr($0, 1, traffic - 1) substr($0, group) }
    $0 == "" { table = 1 }'
echo
printf '%s\n' "$look" | sed -n '1,/^$/{/^Found: /p;}'
if [ -n "$missing" ]; then
    echo "Missing, or not whole, with the rights that you and this kernel have:"
    printf '%s\n' "$missing"
else
    echo "No right is missing."
fi
echo "All of it, $(grep -c '^proctally_' quickstart.prom) series in Prometheus format: $(pwd)/quickstart.prom"
echo
echo "To go on:"
echo "  $command top         the same, live"
echo "  $command run make    what a command and its children use"
echo "  $textfile --help    options; agents: README.md"
