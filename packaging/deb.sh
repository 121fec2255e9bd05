#!/bin/sh
# Build the Debian package into dist/, with lintian's word on it. The tree that is built is what git tracks, as it is on
# the disk.
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
cd "$tree"
DEB_BUILD_OPTIONS=noautodbgsym dpkg-buildpackage --build=binary --unsigned-changes >"$place/log" 2>&1 || { tail -40 "$place/log" >&2; exit 1; }
cd "$place"
lintian --fail-on error,warning --allow-root ./*.changes
cp ./*.deb "$out/"
sha256sum ./*.deb
