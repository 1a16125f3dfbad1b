#!/bin/sh
# SPDX-License-Identifier: MIT
# In a root that was bare, as root, with rpm as a guest: installs the packages in /root/before,
# upgrades them to those in /root/new, uses them, erases them, and looks for what is left. The
# last line of its output says how it went.
set -eu
cd /root

. ./packages-common.sh

# what the packages need is there, but not by rpm's database
with_rpm() {
    rpm --nodeps --force-debian "$@"
}
list() {
    rpm -ql "$1"
}
units="proctally-exporter.service proctally-exporter.socket proctally-fs.service
    proctally-textfile.service proctally-textfile-once.timer"
enabled() {
    # shellcheck disable=SC2086 # names
    systemctl is-enabled $units | sort -u | paste -s -d ' '
}

# As in Fedora nothing is enabled that no preset names; Debian has it the other way round.
mkdir -p /etc/systemd/system-preset
echo 'disable *' >/etc/systemd/system-preset/99-default-disable.preset
# Directories of packages that every Fedora has, of collectd's, and node_exporter's.
mkdir -p /usr/lib64/collectd /usr/lib64/pkgconfig /usr/share/licenses /var/lib/prometheus/node-exporter
files bare /var/lib/rpm /usr/lib/sysimage
keep_users

with_rpm -i before/*.rpm
rpm -qa --qf '%{name}-%{version}-%{release}\n' | sort
[ "$(enabled)" = disabled ] || fail "installing enables services: $(enabled)"
# all that belongs to a package is there as it says (not owners and modes of the user's)
rpm -Va --nodeps || fail "files are not what the packages say"

# The administrator's choices stay.
systemctl enable proctally-textfile.service proctally-textfile-once.timer
before_upgrade
with_rpm -U new/*.rpm
[ "$(rpm -q --qf '%{release}' proctally)" = 1 ] || fail "the upgrade leaves $(rpm -q proctally)"
after_upgrade
[ "$(systemctl is-enabled proctally-textfile.service)" = enabled ] ||
    fail "the upgrade disables what was enabled"

look_around
# shellcheck disable=SC2046 # names
have_pages $(rpm -qa)
# (Debian's collectd has a directory of its own)
run_collectd "$(list collectd-proctally | grep '/proctally[.]conf$')" 'PluginDir "/usr/lib64/collectd"'
has collectd-proctally /usr/share/man/man5/proctally-collectd.5.gz
(
    export PKG_CONFIG_PATH=/usr/lib64/pkgconfig LD_LIBRARY_PATH=/usr/lib64
    build_examples "$(dirname "$(list proctally-devel | grep '/embed[.]c$')")"
)
has proctally-devel /usr/share/man/man3/proctally_fs.3.gz

before_removal
# shellcheck disable=SC2046 # names
with_rpm -e $(rpm -qa)
after_removal
[ ! -e /usr/bin/proctally ] || fail "erasing leaves the programs"
[ "$(find /etc/systemd/system -name 'proctally*')" = "" ] || fail "erasing leaves services enabled"
# a changed configuration and the counters are the administrator's
mv /etc/proctally.yaml.rpmsave /root || fail "erasing takes a changed configuration away"
rm -r /var/lib/proctally /var/lib/collectd/proctally.state
files after /var/lib/rpm /usr/lib/sysimage
# Where build ids of two packages begin alike, rpm gives their directory to one of them, which
# may be erased first.
left=$(comm -13 bare after | grep -v -e '^/etc/passwd-$' -e '^/etc/group-$' -e '^/etc/g*shadow-$' \
    -e '^/usr/lib/[.]build-id$' -e '^/usr/lib/[.]build-id/..$' || true)
[ -z "$left" ] || fail "erasing leaves" $left
check_users
# with no change to it, nothing is kept
with_rpm -i new/proctally-[0-9]*.rpm new/proctally-libs-*.rpm
# shellcheck disable=SC2046
with_rpm -e $(rpm -qa)
[ ! -e /etc/proctally.yaml ] && [ ! -e /etc/proctally.yaml.rpmsave ] || fail "erasing leaves a configuration"
echo "$(ls new/*.rpm | wc -l) packages: installed, upgraded, $pinned and erased"
