#!/bin/sh
# put-units.sh FROM TO: moves the units of an installation from the examples to where systemd
# looks for them. What is the administrator's choice (drop-ins, the pin and its directory)
# stays.
set -eu
mkdir -p "$2"
for unit in proctally-exporter.service proctally-exporter.socket proctally-fs.service \
    proctally-textfile.service proctally-textfile-once.service proctally-textfile-once.timer; do
    # without the lines on how to install it by hand
    awk '/^\[/ { inside = 1 } inside' "$1/$unit" >"$2/$unit"
    rm "$1/$unit"
done
