#!/bin/sh
# Install logwarden on this machine from a checkout, as root, where there is no Debian package for it.
#
#     packaging/install.sh            into /opt/logwarden, /etc/logwarden and systemd
#     packaging/install.sh --remove   take all of it away but /etc/logwarden and /var/lib/logwarden
#
# Never: overwrites a config or a local rule, starts anything, or opens a port. It says what to do next.
set -eu
cd "$(dirname "$0")/.."

place=/opt/logwarden
unit=/etc/systemd/system/logwarden.service

case ${1:-} in
"") ;;
--remove)
    systemctl disable --now logwarden.service 2>/dev/null || true
    rm -rf "$place" "$unit" /etc/sysusers.d/logwarden.conf /usr/local/bin/logwarden
    exit 0
    ;;
*) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

packaging/setup.sh service "$place"
mkdir -p /usr/local/bin /etc/logwarden/ignore.d /etc/logwarden/attack.d /etc/sysusers.d
ln -sf "$place/bin/logwarden" /usr/local/bin/logwarden
[ -e /etc/logwarden/logwarden.yaml ] || install -m 644 packaging/logwarden.yaml /etc/logwarden/
sed "s#^ExecStart=/usr/bin/#ExecStart=$place/bin/#" systemd/logwarden.service >"$unit"
chmod 644 "$unit"
install -m 644 systemd/logwarden.sysusers.conf /etc/sysusers.d/logwarden.conf
systemd-sysusers /etc/sysusers.d/logwarden.conf
# Where logcheck is installed, its rules are for its group alone.
if getent group logcheck >/dev/null; then usermod -a -G logcheck logwarden; fi

cat <<'NEXT'
Installed. Next:
    editor /etc/logwarden/logwarden.yaml    every setting with its default; `bans: {mode: observe}` bans nobody
    logwarden check
    systemctl daemon-reload && systemctl enable --now logwarden
NEXT
