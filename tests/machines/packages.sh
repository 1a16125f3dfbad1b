#!/bin/sh
# SPDX-License-Identifier: MIT
# In a root that was bare, as root: installs the packages in /root/new in place of a version
# before, uses them, removes and purges them, and looks for what is left. The last line of
# its output says how it went.
set -eu
cd /root

fail() {
    echo "$*"
    exit 1
}
# The names of all files, but for those of others that come and go.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /root -o -path /run \
        -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/log \) \
        -prune -o -print | sort >"$1"
}
names=$(for deb in new/*.deb; do dpkg-deb -f "$deb" Package; done | grep -v -e '-dbgsym$')
chosen=
for name in $names; do
    chosen="$chosen ./new/${name}_*.deb"
done
apt_get() {
    apt-get -q -y -o Dpkg::Options::=--force-confold "$@"
}

apt_get update
# what they need comes with them, and stays
# shellcheck disable=SC2086 # names with patterns
apt_get install --no-install-recommends $chosen
dpkg --purge $names
files before
left=$(grep proctally before || true)
[ -z "$left" ] || fail "purging leaves" $left

# The version before: the same, called older.
mkdir old
for name in $names; do
    dpkg-deb -R ./new/"${name}"_*.deb unpacked
    sed -i -e 's/^Version: .*/Version: 0.0.9-1/; s/(= [^)]*)/(= 0.0.9-1)/g' \
        -e 's/\(libproctally[a-z0-9-]*\) (>= [^)]*)/\1/g' unpacked/DEBIAN/control
    dpkg-deb -b unpacked "old/$name.deb" >/dev/null
    rm -rf unpacked
done
apt_get install --no-install-recommends ./old/*.deb

# Counting goes on over the upgrade; a change to the configuration is kept.
getent passwd proctally || fail "there is no user proctally"
echo '# mine' >>/etc/proctally.yaml
count() {
    proctally-textfile --once --source procfs --output - --state-file /var/lib/proctally/state \
        --config /etc/proctally.yaml --prefix p_ --group-by name |
        sed -n 's/^p_process_starts_total{groupname="sh"} //p'
}
install -d -o proctally -g proctally -m 0700 /var/lib/proctally
count
for i in 1 2 3 4 5; do sh -c 'sleep 0.2; :' & done
sleep 0.1
first=$(count)
wait
# shellcheck disable=SC2086
apt_get install --no-install-recommends $chosen
tail -n 1 /etc/proctally.yaml | grep -qx '# mine' || fail "the upgrade has changed /etc/proctally.yaml"
second=$(count)
[ "$first" -ge 5 ] && [ "$second" -ge "$first" ] ||
    fail "starts counted before the upgrade: $first, after it: $second"

for program in proctally proctally-textfile proctally-telegraf proctally-exporter proctally-fs; do
    $program --version
done
proctally ps --sort -rss | head -n 3
case $names in
    *python3-proctally*)
        python3 -c 'import proctally; print(proctally.Collector(group_by=["user"]).collect().groups)'
        ;;
esac
[ ! -e /usr/lib/python3/dist-packages/proctally/bin/proctally ] ||
    fail "the Python package has a program of its own"
if command -v systemd-analyze >/dev/null; then
    find /lib/systemd/system/ -name 'proctally-*.service' -exec systemd-analyze --man=no verify {} +
fi

# shellcheck disable=SC2086
apt_get remove $names
[ -e /etc/proctally.yaml ] && [ -e /var/lib/proctally/state ] ||
    fail "removing takes the configuration and the counters away"
[ ! -e /usr/bin/proctally ] || fail "removing leaves the programs"
# shellcheck disable=SC2086
dpkg --purge $names
files after
left=$(comm -13 before after)
[ -z "$left" ] || fail "purging leaves" $left
echo "$(echo "$names" | wc -l) packages, $(ls new | wc -l) files: installed, upgraded, removed and purged"
