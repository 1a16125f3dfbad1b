# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# What packages.sh and packages-rpm.sh have in common, and read in.

fail() {
    echo "$*"
    exit 1
}

# FILE [PATH...]: the names of all files, but for those of others that come and go, and what is
# at these paths.
files() {
    file=$1
    shift
    for path; do
        shift
        set -- "$@" -o -path "$path"
    done
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /root -o -path /run \
        -o -path /var/cache -o -path /var/log "$@" \) -prune -o -print | sort >"$file"
}

# Users and groups before any of these packages, and after all of them: the services' user,
# who may have files elsewhere, stays, and is all that is new.
keep_users() {
    cp /etc/passwd passwd.bare
    cp /etc/group group.bare
}
check_users() {
    for kind in passwd group; do
        new=$(diff "$kind.bare" "/etc/$kind" | sed -n 's/^\([<>] [^:]*\):.*/\1/p')
        [ "$new" = "> proctally" ] || fail "not one line of proctally in /etc/$kind, but:" $new
    done
}

# how many processes called sh have started, by what the state file and this collection know
starts() {
    proctally-textfile --once --source procfs --output - --state-file /var/lib/proctally/state \
        --config /etc/proctally.yaml --prefix p_ --group-by name |
        sed -n 's/^p_process_starts_total{groupname="sh"} //p'
}

# An upgrade lies between the two: counting goes on, and a change to the configuration is kept.
before_upgrade() {
    getent passwd proctally || fail "there is no user proctally"
    echo '# mine' >>/etc/proctally.yaml
    install -d -o proctally -g proctally -m 0700 /var/lib/proctally
    starts
    for i in 1 2 3 4 5; do sh -c 'sleep 0.2; :' & done
    sleep 0.1
    first=$(starts)
    wait
    [ "$first" -ge 5 ] || fail "of 5 processes that have started $first are counted"
}
after_upgrade() {
    tail -n 1 /etc/proctally.yaml | grep -qx '# mine' ||
        fail "the upgrade has changed /etc/proctally.yaml"
    second=$(starts)
    [ "$second" -ge "$first" ] ||
        fail "starts counted before the upgrade: $first, after it: $second"
}

# PACKAGE PATH...: they are there, and the package's (list PACKAGE names its files)
has() {
    package=$1
    shift
    list "$package" >list
    for path; do
        [ -s "$path" ] && grep -q -x -F -e "$path" list || fail "$package has no $path"
    done
}
# PACKAGE...: each of their programs has its manual page in the same package
have_pages() {
    programs=0
    for package; do
        for program in $(list "$package" | sed -n 's,^/usr/bin/,,p'); do
            has "$package" "/usr/share/man/man1/$program.1.gz"
            programs=$((programs + 1))
        done
    done
    [ $programs = 5 ] || fail "there are $programs programs"
}

# DIRECTORY: the examples in it, linked with the libraries as pkg-config says; one of them runs,
# linked with the archive as well
build_examples() {
    # shellcheck disable=SC2046 # words
    cc -Wall -Werror -o ownstats "$1/ownstats.c" $(pkg-config --cflags --libs proctally-fs)
    # shellcheck disable=SC2046
    cc -Wall -Werror -o processes "$1/processes.c" $(pkg-config --cflags --libs proctally)
    # shellcheck disable=SC2046
    cc -Wall -Werror -o embed "$1/embed.c" $(pkg-config --cflags --libs proctally)
    ldd embed | grep -q 'libproctally[.]so[.]1 => /' || fail "embed.c is not linked with the library"
    # shellcheck disable=SC2046
    cc -Wall -Werror -o embed-static "$1/embed.c" $(pkg-config --static --cflags --libs proctally |
        sed 's/-lproctally /-l:libproctally.a /')
    ! ldd embed-static | grep libproctally || fail "embed.c is not linked with the archive"
    for program in ./embed ./embed-static; do
        $program >values || fail "$program, built with the library, fails"
        grep -q '^root:sh  *[0-9.]* s user  *[0-9.]* s system$' values || {
            cat values
            fail "$program, built with the library, does not find this shell"
        }
    done
}

# EXAMPLE [LINES]: a real collectd, with these lines and the example that the package brings,
# finds a web server
run_collectd() {
    cat >collectd.conf <<END
Hostname "here"
FQDNLookup false
Interval 1
LoadPlugin csv
<Plugin csv>
  DataDir "stderr"
</Plugin>
${2-}
Include "$1"
END
    cp /bin/sleep /tmp/nginx
    /tmp/nginx 100 &
    server=$!
    collectd -f -C /root/collectd.conf >values 2>&1 &
    daemon=$!
    for i in $(seq 30); do
        sleep 1
        ! grep -q '^PUTVAL .*here/proctally-web/ps_rss .*:[1-9][0-9.]*$' values || break
    done
    kill $server $daemon || :
    status=0
    wait $daemon || status=$?
    cat values
    [ $status = 0 ] || fail "collectd ends with status $status"
    grep -q '^PUTVAL .*here/proctally-web/ps_rss .*:[1-9][0-9.]*$' values ||
        fail "collectd has no value of the example's group"
    [ -s /var/lib/collectd/proctally.state ] || fail "collectd's plugin keeps no counters"
}

# What node_exporter would show for good, once nobody writes it any more, and programs that would
# stay in the kernel.
pins=/sys/fs/bpf/proctally
textfile=/var/lib/prometheus/node-exporter/proctally.prom
before_removal() {
    mkdir -p "$(dirname $textfile)"
    proctally-textfile --once --config /etc/proctally.yaml --output $textfile
    grep -q '^proctally_processes{' $textfile || fail "no figures in $textfile"
    # in this root's own bpf file system
    [ ! -e $pins ] || fail "there is something in $pins already"
    proctally-textfile --once --config /etc/proctally.yaml --pin $pins \
        --state-file /root/pinned.state >pinned
    if grep -q '^proctally_source{source="bpf"} 1' pinned; then
        [ -n "$(ls -A $pins)" ] || fail "nothing is pinned"
        pinned=pinned
    else
        pinned="not pinned, as there is no source bpf here"
    fi
}
after_removal() {
    [ ! -e $textfile ] || fail "figures of a program that is gone stay in $textfile"
    [ ! -e $pins ] || fail "programs stay in the kernel, pinned:" $pins/*
}

# what is installed, and needs no other package to be looked at
look_around() {
    has proctally /usr/lib/sysusers.d/proctally.conf \
        /usr/share/bash-completion/completions/proctally \
        /usr/share/fish/vendor_completions.d/proctally.fish \
        /usr/share/zsh/site-functions/_proctally \
        /usr/share/man/man1/proctally-top.1.gz /usr/share/man/man5/proctally.yaml.5.gz \
        /usr/share/man/man7/proctally-metrics.7.gz \
        /usr/share/doc/proctally/examples/proctally.yaml \
        /usr/share/doc/proctally/examples/systemd/proctally.tmpfiles.conf
    for program in proctally proctally-textfile proctally-telegraf proctally-exporter proctally-fs; do
        $program --version
    done
    if command -v systemd-analyze >/dev/null; then
        find /usr/lib/systemd/system -name 'proctally-*.service' \
            -exec systemd-analyze --man=no verify {} +
    fi
}
