#!/bin/sh
# Debian packages, then logwarden in a virtual environment of its own.
#
#     packaging/setup.sh demo|test|quiet      this checkout, editable, in .venv
#     packaging/setup.sh service PLACE    a copy of it, in PLACE
#
# Owns: the lists of Debian packages. What comes from PyPI stands in pyproject.toml.
# Never: starts a service, opens a port, replaces a package that is there. Only what is missing is installed;
# without root and without sudo it names what is missing and goes on, because most tests need none of it.
# Fails: where no Python >= 3.11 with venv can be had, or pip cannot install.
set -eu
cd "$(dirname "$0")/.."

demo_packages="python3-venv python3-systemd ipset iptables iproute2 gcc libc6-dev python3-dev libhyperscan-dev|libvectorscan-dev"
test_packages="$demo_packages nftables conntrack systemd systemd-journal-remote rsyslog logrotate logcheck-database
    xz-utils zstd"
# To see a digest as its reader does.
test_packages="$test_packages chromium fonts-dejavu-core fonts-liberation"
# To build the Debian package, and to install it in a system that tests boot.
test_packages="$test_packages debhelper dh-python pybuild-plugin-pyproject po-debconf lintian ucf
    python3-click python3-dateutil python3-jinja2 python3-jsonschema python3-prometheus-client python3-regex python3-rich
    python3-setuptools python3-watchdog python3-yaml exim4-daemon-light dnsmasq-base"

place=.venv
case ${1:-} in
demo) packages=$demo_packages what="--editable .[test]" ;;
test) packages=$test_packages what="--editable .[test,lint]" ;;
quiet) packages="$test_packages mmdebstrap" what="--editable .[test,lint]" ;;
service) packages=$demo_packages what=. place=${2:?where to} ;;
*) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

say() { printf 'setup: %s\n' "$*"; }

missing() {
    for choice in $packages; do # a|b: either will do, and the first is installed
        for package in $(echo "$choice" | tr '|' ' '); do
            case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) in installed) continue 2 ;; esac
        done
        printf '%s ' "${choice%%|*}"
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

may_install() {
    [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }
}

apt_install() {
    # shellcheck disable=SC2086  # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $1 </dev/null
}

debian_packages() {
    if ! command -v dpkg-query >/dev/null; then
        say "this is no Debian; needed by their Debian names: $packages"
        return
    fi
    wanted=$(missing)
    [ -n "$wanted" ] || return 0
    if ! may_install; then
        say "no root and no sudo: going on without ${wanted}(as root: apt-get install $wanted)"
        return
    fi
    say "apt-get install $wanted"
    # The machine's package lists may be absent or stale: fetch them only where the first try fails.
    apt_install "$wanted" || { as_root apt-get update -q && apt_install "$wanted"; }
}

# Debian's own interpreter sees Debian's python3-systemd; another python3 that comes first on PATH does not.
interpreter() {
    if [ -x /usr/bin/python3 ]; then echo /usr/bin/python3; else command -v python3; fi
}

new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

virtual_environment() {
    if ! "$place/bin/python" -c "$new_enough" 2>/dev/null; then
        python=$(interpreter) || { say "no python3 found"; exit 1; }
        "$python" -c "$new_enough" || { say "$python is older than Python 3.11, which logwarden needs"; exit 1; }
        say "making $place with $python"
        "$python" -m venv --clear --system-site-packages "$place"
    fi
    say "pip install $what"
    # shellcheck disable=SC2086  # a list of words
    "$place/bin/python" -m pip install --quiet --disable-pip-version-check $what
    "$place/bin/python" -c 'import systemd.journal' 2>/dev/null ||
        say "python3-systemd is missing: files are watched, the journal is not"
    "$place/bin/python" -c 'import logwarden.matcher._hyperscan' 2>/dev/null ||
        say "built without Hyperscan: the regex engine serves, slower, with the same verdicts"
}

debian_packages
virtual_environment
say "done: $place/bin/logwarden"
