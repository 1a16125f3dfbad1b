#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds packages of these sources:
#
#     sh examples/packaging/build.sh deb|rpm|tarball [ARGUMENT...]
#
#   tarball   what `make dist` makes
#   deb       source and binary packages for the Debian that this is run on, and what lintian
#             says of them. ARGUMENTS go to dpkg-buildpackage.
#   rpm       a source and binary packages, and what rpmlint says of them. ARGUMENTS go to
#             rpmbuild.
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

# work/proctally-VERSION.tar.gz
tarball() {
    echo "making proctally-$version.tar.gz"
    run sh "$SRC/tests/copy-sources.sh" "$work/source"
    mkdir "$work/dist"
    (cd "$work/dist" && run "$work/source/configure" --disable-tests)
    # times and owners of this machine are nobody's business
    (cd "$work/dist" && run make distdir)
    (cd "$work/dist" && tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 \
        --numeric-owner --mode=u+w,go+rX,go-w -cf - "proctally-$version") |
        gzip -9n >"$work/proctally-$version.tar.gz"
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

rpm() {
    for program in rpmbuild rpmlint; do
        command -v $program >/dev/null 2>&1 || missing "$program is missing"
    done
    tarball
    mkdir "$work/rpm"
    cp "$work/proctally-$version.tar.gz" "$work/rpm"
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
%sysusers_create_compat() %{nil}
%systemd_post() %{nil}
%systemd_preun() %{nil}
%systemd_postun_with_restart() %{nil}
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
    rpmlint -c "$here/rpmlint.toml" "$work/rpm/proctally.spec" "$output"/*.rpm
}

case ${1-} in
    tarball)
        tarball
        mv "$work/proctally-$version.tar.gz" "$output"
        ;;
    deb | rpm)
        what=$1
        shift
        $what "$@"
        ;;
    *)
        echo "usage: $0 deb|rpm|tarball [ARGUMENT...]" >&2
        exit 2
        ;;
esac
ls -l "$output"
