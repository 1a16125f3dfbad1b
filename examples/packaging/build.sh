#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds packages of these sources:
#
#     sh examples/packaging/build.sh deb|rpm|static|tarball [ARGUMENT...]
#
#   tarball   what `make dist` makes
#   deb       source and binary packages for the Debian that this is run on, and what lintian
#             says of them. ARGUMENTS go to dpkg-buildpackage.
#   rpm       a source and binary packages, and what rpmlint says of them. ARGUMENTS go to
#             rpmbuild.
#   static    archives of static programs with manual pages, examples and the licences of what
#             they were linked with, for any Linux of a kind of machine, a bill of materials of
#             each (CycloneDX), and checksums. ARGUMENTS: x86_64, aarch64; without one, both.
#             What is built stays in STATIC (build-musl), see examples/static-musl.sh.
#
# The packages are put in build-packages/, or OUTPUT. What the build needs has to be there:
# what is missing is told, and then it leaves with 77.
set -eu
LC_ALL=C.UTF-8
export LC_ALL
SRC=$(cd "$(dirname "$0")/../.." && pwd)
here=$SRC/examples/packaging
output=${OUTPUT:-$SRC/build-packages}
mkdir -p "$output"
output=$(cd "$output" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/proctally-packages.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
log=$work/log

missing() {
    echo "$*" >&2
    exit 77
}
# COMMAND...: with its output in the log; what it says last is shown if it fails
run() {
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 40 "$log" >&2
        cp "$log" "$output/failed.log"
        echo "failed: $* (all of its output: $output/failed.log)" >&2
        exit 1
    fi
}

version=$(sed -n 's/^AC_INIT(\[proctally\], \[\(.*\)\])$/\1/p' "$SRC/configure.ac")
# The moment that is in the packages: that of the entry in Debian's changelog, so that who
# builds the same sources again gets the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date -d "$(sed -n 's/^ -- .*>  //p' \
    "$here/debian/changelog" | head -n 1)" +%s)}
export SOURCE_DATE_EPOCH

# NAME PATH: what is at PATH, packed as NAME; times and owners of this machine are nobody's
# business
packed() {
    tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --mode=u+w,go+rX,go-w --transform="s,^$2,$1," -cf - "$2" | gzip -9n
}

# work/proctally-VERSION.tar.gz
tarball() {
    echo "making proctally-$version.tar.gz"
    run sh "$SRC/tests/copy-sources.sh" "$work/source"
    mkdir "$work/dist"
    (cd "$work/dist" && run "$work/source/configure" --disable-tests)
    (cd "$work/dist" && run make distdir)
    (cd "$work/dist" && packed "proctally-$version" "proctally-$version") \
        >"$work/proctally-$version.tar.gz"
    rm -rf "$work/dist" "$work/source"
}

deb() {
    for program in dpkg-buildpackage dh lintian; do
        command -v $program >/dev/null 2>&1 ||
            missing "$program is missing (apt-get install build-essential debhelper lintian)"
    done
    # Debian 12 can't build the Python package: setuptools there is 66, cffi 1.15.
    profiles=
    dpkg-query -W -f='${Version}' python3-setuptools 2>/dev/null |
        awk -F. '{ is_new = $1 >= 77 } END { exit !is_new }' || profiles=pkg.proctally.nopython
    lacking=$(cd "$here" && dpkg-checkbuilddeps ${profiles:+-P$profiles} debian/control 2>&1) ||
        missing "$lacking"
    tarball
    mkdir "$work/deb"
    cp "$work/proctally-$version.tar.gz" "$work/deb/proctally_$version.orig.tar.gz"
    tar -C "$work/deb" -xf "$work/proctally-$version.tar.gz"
    cp -R "$here/debian" "$work/deb/proctally-$version/debian"
    # whatever the umask of who has fetched the sources: the modes are in the source package
    chmod -R u=rwX,go=rX "$work/deb/proctally-$version/debian"
    chmod 755 "$work/deb/proctally-$version/debian/rules"
    echo "building Debian packages"
    (cd "$work/deb/proctally-$version" &&
        run dpkg-buildpackage -us -uc ${profiles:+-P$profiles} "$@")
    (cd "$work/deb" && mv ./*.deb ./*.dsc ./*.changes ./*.buildinfo ./*.tar.* "$output")
    # There is no bug in Debian's list that a first upload could close; and the standards may be
    # newer than this machine's lintian.
    lintian --fail-on error,warning --tag-display-limit 0 --allow-root \
        --suppress-tags initial-upload-closes-no-bugs,newer-standards-version "$output/proctally_$version"-*.changes
}

static() {
    [ $# -gt 0 ] || set -- x86_64 aarch64
    command -v python3 >/dev/null 2>&1 || missing "python3 is missing"
    top=${STATIC:-$SRC/build-musl}
    for machine; do
        sh "$SRC/examples/static-musl.sh" "$machine" "$top" >"$work/programs" || exit $?
        name=proctally-$version-$machine-linux-musl
        built=$top/$machine
        mkdir -p "$work/$name/usr/local"
        # not the libraries, which are another's to link
        run make -C "$built/proctally" DESTDIR="$work/$name" docdir=/usr/local/share/doc/proctally \
            install-man install-dist_bashcompletionDATA install-dist_zshcompletionDATA \
            install-dist_fishcompletionDATA install-nodist_unitsDATA install-dist_unitsDATA \
            install-examples
        cp -R "$built/bin" "$work/$name/usr/local"
        (
            cd "$work/$name/usr/local/share"
            # what is not in here
            for program in proctally-exporter proctally-fs; do
                [ -e "../bin/$program" ] || rm -f man/man1/$program.1 \
                    doc/proctally/examples/systemd/$program*
            done
            rm -rf man/man3 man/man5/proctally-collectd.5 man/man7/proctally-python.7 \
                doc/proctally/examples/collectd
            cp "$SRC/LICENSE" "$SRC/NEWS.md" "$SRC/README.md" "$SRC/SECURITY.md" doc/proctally
        )
        zig=$(sed -n 's/^exec "\(.*\)" ar .*/\1/p' "$built/tools/ar")
        run python3 "$here/sbom.py" "$version" "$machine" "$built" "$zig" \
            "$work/$name/usr/local/share/doc/proctally"
        about_static >"$work/$name/usr/local/share/doc/proctally/README.static"
        (cd "$work/$name/usr/local" && packed "$name" .) >"$output/$name.tar.gz"
        cp "$work/$name/usr/local/share/doc/proctally/sbom.cdx.json" "$output/$name.cdx.json"
        # of all that are there: those of another machine may have been built before
        (cd "$output" && sha256sum "proctally-$version"-*-linux-musl.tar.gz \
            "proctally-$version"-*-linux-musl.cdx.json) >"$work/sums"
        mv "$work/sums" "$output/SHA256SUMS"
    done
}
about_static() {
    cat <<END
proctally $version for $machine, any Linux
==========================================

Static programs, made for /usr/local:

    tar --strip-components=1 --no-same-owner -C /usr/local -xzf $name.tar.gz

The services are in share/doc/proctally/examples/systemd; the first lines of each say how it
is installed. Users are looked up in /etc/passwd only. What is not in these programs:

$(sed 's/^/    /' "$built/lacks.list")

What was linked, in which version and from which sources, sbom.cdx.json tells; the licences are
in licenses/. Whoever wants to link other versions of these libraries has all that it takes in
proctally's sources: SOURCES=DIRECTORY sh examples/static-musl.sh $machine builds the programs
of the archives that are in DIRECTORY.
END
}

rpm() {
    for program in rpmbuild rpmlint; do
        command -v $program >/dev/null 2>&1 || missing "$program is missing"
    done
    tarball
    mkdir "$work/rpm"
    cp "$work/proctally-$version.tar.gz" "$SRC/examples/systemd/proctally.sysusers.conf" "$work/rpm"
    sed "s/@VERSION@/$version/" "$here/proctally.spec" >"$work/rpm/proctally.spec"
    # Where rpm is a guest, as on Debian, its database knows of no package, and the build finds
    # what is missing; and macros of other distributions are not there.
    guest=
    if ! command rpm -q rpm >/dev/null 2>&1; then
        guest="--nodeps --without python"
        cat >"$work/macros" <<'MACROS'
%_unitdir /usr/lib/systemd/system
%_sysusersdir /usr/lib/sysusers.d
%debug_package %{nil}
%packager The proctally authors
%__os_install_post find %{buildroot} -type f '(' -name '*.so' -o -name '*.so.*' -o -path '*/bin/*' ')' -exec %{__strip} --strip-unneeded {} +; find %{buildroot}%{_mandir} -type f -exec gzip -9n {} +
%sysusers_create_compat() systemd-sysusers --replace=%{_sysusersdir}/proctally.conf - <<'END' || :\
%(cat %1)\
END
%systemd_post() if [ $1 -eq 1 ]; then systemctl --no-reload preset %{*} || :; fi
%systemd_preun() if [ $1 -eq 0 ]; then systemctl --no-reload disable --now %{*} || :; fi
%systemd_postun_with_restart() if [ $1 -ge 1 ]; then systemctl try-restart %{*} || :; fi
MACROS
        macros=$(command rpm --eval '%{?_rpmconfigdir}')/macros
        guest="$guest --load=$work/macros"
        [ -f "$macros" ] || missing "no macros of rpm at $macros"
    fi
    echo "building RPM packages"
    # shellcheck disable=SC2086 # words
    run rpmbuild -ba --define "_topdir $work/rpm/top" --define "_sourcedir $work/rpm" $guest \
        --define "use_source_date_epoch_as_buildtime 1" --define "_buildhost localhost" "$@" \
        "$work/rpm/proctally.spec"
    find "$work/rpm/top" -name '*.rpm' -exec mv {} "$output" \;
    # strict: a warning fails as well
    rpmlint --strict -c "$here/rpmlint.toml" "$work/rpm/proctally.spec" "$output"/*.rpm
}

case ${1-} in
    tarball)
        tarball
        mv "$work/proctally-$version.tar.gz" "$output"
        ;;
    deb | rpm | static)
        what=$1
        shift
        $what "$@"
        ;;
    *)
        echo "usage: $0 deb|rpm|static|tarball [ARGUMENT...]" >&2
        exit 2
        ;;
esac
ls -l "$output"
