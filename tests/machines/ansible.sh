#!/bin/sh
# SPDX-License-Identifier: MIT
# In a root where systemd is process 1, as root: runs the role in /root/ansible for this host,
# with the packages in /root/debs. The last line of its output says how it went.
set -eu
cd /root/ansible
export ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=False ANSIBLE_LOCAL_TEMP=/tmp/ansible
export ANSIBLE_REMOTE_TEMP=/tmp/ansible

fail() {
    echo "$*"
    exit 1
}
printf '[fleet]\nlocalhost ansible_connection=local ansible_python_interpreter=/usr/bin/python3\n' \
    >/tmp/inventory
deb=$(ls /root/debs/proctally_*.deb)
# NAME=VALUE...: what the role has changed, a number
play() {
    status=0
    ansible-playbook -i /tmp/inventory -e "{\"proctally_packages\": [\"$deb\"]}" "$@" site.yml \
        >/tmp/play 2>&1 || status=$?
    cat /tmp/play >&2
    [ $status = 0 ] || return $status
    sed -n 's/^localhost .* changed=\([0-9]*\) .*/\1/p' /tmp/play
}
textfile=/var/lib/prometheus/node-exporter/proctally.prom
# UNIT: it alone is enabled and active
check_only() {
    for unit in proctally-exporter.service proctally-exporter.socket proctally-textfile.service \
        proctally-textfile-once.timer proctally-fs.service; do
        wanted="disabled inactive"
        [ "$unit" != "$1" ] || wanted="enabled active"
        found="$(systemctl is-enabled "$unit") $(systemctl is-active "$unit" || :)"
        [ "$found" = "$wanted" ] || fail "$unit: $found, not $wanted"
    done
}
scraped() {
    for i in 1 2 3 4 5 6 7 8 9 10; do
        curl -s -m 20 http://127.0.0.1:9256/metrics >/tmp/metrics && break
        sleep 1
    done
    grep -q "$1" /tmp/metrics || fail "no $1 in what the exporter says"
}

ansible-playbook -i /tmp/inventory --syntax-check site.yml
[ "$(play)" -gt 3 ] || fail "the first run has changed too little"
check_only proctally-exporter.service
scraped '^proctally_processes{groupname="dbus.service"'
[ "$(play)" = 0 ] || fail "the second run has changed something: $(grep -B 5 ^changed: /tmp/play)"
pid=$(systemctl show -P MainPID proctally-exporter.service)

# Another configuration: it is read again by what runs.
by_name='{"proctally_config": {"group-by": ["name"]}}'
[ "$(play -e "$by_name")" = 2 ] || fail "expected a new configuration and a reload"
scraped '^proctally_processes{groupname="dbus-daemon"'
[ "$(systemctl show -P MainPID proctally-exporter.service)" = "$pid" ] || fail "it was restarted"

# One that is not valid is not put in place.
! play -e '{"proctally_config": {"group-by": ["colour"]}}' || fail "a mistake is put in place"
grep -q 'failed to validate' /tmp/play || fail "the role says nothing about the mistake"
[ "$(play -e "$by_name")" = 0 ] || fail "the mistake has changed something"

# A drop-in restarts it; another front end takes its place.
[ "$(play -e "$by_name" -e '{"proctally_drop_in": "[Service]\nEnvironment=A=b\n"}')" = 3 ] ||
    fail "expected a directory, a drop-in and a restart"
systemctl show -P Environment proctally-exporter.service | grep -qx A=b || fail "no drop-in"
play -e "$by_name" -e proctally_front_end=textfile-once
check_only proctally-textfile-once.timer
! systemctl show -P Environment proctally-exporter.service | grep A=b ||
    fail "the exporter's drop-in is still there"
play -e "$by_name" -e proctally_front_end=textfile
check_only proctally-textfile.service
[ "$(play -e "$by_name" -e proctally_front_end=textfile)" = 0 ] ||
    fail "the last run has changed something"
for i in 1 2 3 4 5 6 7 8 9 10; do
    [ ! -s $textfile ] || break
    sleep 2
done
grep -q dbus-daemon $textfile || fail "no textfile"

# And back: node_exporter has nothing left to serve.
play -e "$by_name"
check_only proctally-exporter.service
[ ! -e $textfile ] || fail "the textfile is still there"
scraped '^proctally_processes{groupname="dbus-daemon"'
[ "$(play -e "$by_name")" = 0 ] || fail "the exporter's second run has changed something"

# systemd listens for the exporter: it goes with it, so that no scrape starts it again.
socket=$(python3 -c 'import json, sys
print(json.dumps({"proctally_drop_in": open(sys.argv[1]).read()}))' \
    "$(dpkg -L proctally | grep /proctally-exporter-socket.conf)")
play -e "$by_name" -e "$socket"
[ "$(systemctl is-active proctally-exporter.socket)" = active ] || fail "systemd does not listen"
scraped '^proctally_processes{groupname="dbus-daemon"'
systemctl enable proctally-exporter.socket
[ "$(play -e "$by_name" -e "$socket")" = 0 ] || fail "the socket's second run has changed something"
play -e "$by_name" -e proctally_front_end=textfile-once
check_only proctally-textfile-once.timer
echo "role of Ansible: installed, configured, started, nothing changed by a second run"
