#!/bin/sh
# own-plugindir.sh FILE...: collectd's configuration for a plugin that is where collectd's own
# are, and so is found without PluginDir.
set -eu
sed -i '/^# The first PluginDir/,/^PluginDir "\/usr\/lib\/collectd"$/{/^LoadPlugin /!d}' "$@"
! grep PluginDir "$@"
