#!/bin/sh
# Build the Debian package into dist/, with lintian's word on it: packaging/deb.sh [--no-hyperscan]
#
# The tree that is built is what git tracks, as it is on the disk. Without a wheel for this Python and this processor, or
# with --no-hyperscan, the package carries none, and the `regex` engine serves: slower, with the same verdicts.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin # Debian's own Python, whatever else is installed
cd "$(dirname "$0")/.."
out=$PWD/dist place=$PWD/build/deb
tree=$place/logwarden
rm -rf "$place"
mkdir -p "$tree" "$out"
git ls-files -z -- logwarden ignore.d attack.d systemd packaging pyproject.toml README.md CHANGELOG.md LICENSE tests/ignore-samples |
    xargs -0 cp --parents -t "$tree"
mv "$tree/packaging/debian" "$tree/debian"
mkdir "$tree/wheel"
if [ "${1:-}" != --no-hyperscan ]; then
    .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        -r packaging/hyperscan.txt -d "$tree/wheel" 2>/dev/null || echo "deb: no Hyperscan for this machine: the package does without" >&2
fi
cd "$tree"
dpkg-buildpackage --build=binary --unsigned-changes >"$place/log" 2>&1 || { tail -40 "$place/log" >&2; exit 1; }
cd "$place"
lintian --fail-on error,warning --allow-root ./*.changes
cp ./*.deb "$out/"
sha256sum ./*.deb
