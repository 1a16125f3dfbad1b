#!/bin/sh
# SPDX-License-Identifier: MIT
# In a root that was bare, as root: installs the packages in /root/new in place of a version
# before, uses them, removes and purges them, and looks for what is left. The last line of
# its output says how it went.
set -eu
cd /root

. ./packages-common.sh

names=$(for deb in new/*.deb; do dpkg-deb -f "$deb" Package; done | grep -v -e '-dbgsym$')
chosen=
for name in $names; do
    chosen="$chosen ./new/${name}_*.deb"
done
list() {
    dpkg -L "$1"
}
purge() {
    # shellcheck disable=SC2086 # names
    dpkg --purge $names
    files after /var/lib/apt /var/lib/dpkg
    left=$(comm -13 before after | grep -v -e '^/etc/passwd-$' -e '^/etc/group-$' \
        -e '^/etc/g*shadow-$' || true)
    [ -z "$left" ] || fail "purging leaves" $left
    check_users
}
apt_get() {
    apt-get -q -y -o Dpkg::Options::=--force-confold "$@"
}

apt_get update
# what they need, and a compiler, are there before, and stay
# shellcheck disable=SC2086 # names with patterns
needed=$(apt_get -s install --no-install-recommends $chosen | sed -n 's/^Inst \([^ ]*\) .*/\1/p' |
    grep -v -x -F "$names")
# shellcheck disable=SC2086 # names
apt_get install --no-install-recommends $needed gcc libc6-dev pkgconf
files before /var/lib/apt /var/lib/dpkg
left=$(grep proctally before || true)
[ -z "$left" ] || fail "there is already" $left
keep_users

# shellcheck disable=SC2086
apt_get install --no-install-recommends $chosen
purge

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

before_upgrade
# shellcheck disable=SC2086
apt_get install --no-install-recommends $chosen
after_upgrade

look_around
# shellcheck disable=SC2086 # names
have_pages $names
has proctally /usr/share/doc/proctally/README.Debian
has collectd-plugin-proctally /usr/share/man/man5/proctally-collectd.5.gz
has libproctally-dev /usr/share/man/man3/proctally_fs.3.gz
run_collectd /usr/share/doc/collectd-plugin-proctally/examples/proctally.conf
build_examples /usr/share/doc/libproctally-dev/examples
proctally ps --sort -rss | head -n 3
case $names in
    *python3-proctally*)
        python3 -c 'import proctally; print(proctally.Collector(group_by=["user"]).collect().groups)'
        ;;
esac
[ ! -e /usr/lib/python3/dist-packages/proctally/bin/proctally ] ||
    fail "the Python package has a program of its own"

before_removal
# shellcheck disable=SC2086
apt_get remove $names
after_removal
[ -e /etc/proctally.yaml ] && [ -e /var/lib/proctally/state ] ||
    fail "removing takes the configuration and the counters away"
[ -e /var/lib/collectd/proctally.state ] || fail "removing takes the counters of collectd's plugin away"
[ ! -e /usr/bin/proctally ] || fail "removing leaves the programs"
purge
echo "$(echo "$names" | wc -l) packages, $(ls new | wc -l) files: installed, upgraded, $pinned, removed and purged"
