#!/bin/sh
# SPDX-License-Identifier: MIT
# In a root where systemd is process 1 and cloud-init has found the user data of
# examples/cloud-init on its first boot: has it done what they say?
set -eu

fail() {
    echo "$*"
    cloud-init status --long || :
    tail -n 20 /var/log/cloud-init-output.log || :
    echo "$*"
    exit 1
}
timeout 300 cloud-init status --wait >/tmp/status || fail "cloud-init: $(cat /tmp/status)"
grep -q '^status: done' /tmp/status || fail "cloud-init: $(cat /tmp/status)"
dpkg -s proctally | grep -q '^Status: install ok installed' || fail "the package is not installed"
grep -q '{{.Comm}}' /etc/proctally.yaml || fail "no configuration, or not this one"
! grep -q jar /etc/proctally.yaml || fail "the package's own configuration is in its place"
[ "$(systemctl is-enabled proctally-exporter) $(systemctl is-active proctally-exporter)" = \
    "enabled active" ] || fail "the exporter does not run"
for i in 1 2 3 4 5 6 7 8 9 10; do
    curl -s -m 20 http://127.0.0.1:9256/metrics >/tmp/metrics && break
    sleep 1
done
grep -q '^proctally_processes{groupname="dbus.service"' /tmp/metrics || fail "no metrics"
echo "cloud-init: installed, configured and started by the first boot"
