#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes README's pictures anew, with the test that draws them. As root, on a host that does
# nothing else; needs what the tests need (sh tests/install-deps.sh tests).
#
#   sh examples/pictures/make.sh [BUILD]        (where proctally was built: here)
set -eu

cd "$(dirname "$0")/../.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
SRC=$(pwd) BUILD=$(cd "${1-.}" && pwd) TMP=$place PICTURES=$(pwd)/examples/pictures \
    python3 tests/integration/test_pictures.py
