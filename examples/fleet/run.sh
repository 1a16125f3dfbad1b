#!/bin/sh
# sh examples/fleet/run.sh [HOSTS] [--keep]: a fleet of so many hosts (10) on this machine,
# with known work on each, all agents and four databases; see README.md beside.
set -eu
cd "$(dirname "$0")"
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=BUILD,TELEGRAF,OLD,PATH python3 -B fleet.py "$@"
exec python3 -B fleet.py "$@"
