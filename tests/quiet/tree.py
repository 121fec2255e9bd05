"""The Debian tree that the machine boots: Debian 12 with the services of the quiet test, made once below build/.

Owns: the list of packages. Needs root, apt and mmdebstrap; two minutes, and 2.4 GB of disk.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent.parent / "build" / "quiet"
SOURCES = """\
deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main
"""
BASE = "eatmydata,dbus,systemd-sysv,libpam-systemd,openssh-server,cron,rsyslog,logrotate,ca-certificates,sudo,locales"
SERVICES = """
anacron at postfix dovecot-imapd dovecot-pop3d dovecot-lmtpd opendkim rspamd spamassassin spamd amavisd-new
clamav-daemon clamav-freshclam bind9 unbound dnsmasq nginx-light apache2 php-fpm haproxy squid mariadb-server
postgresql redis-server fail2ban unattended-upgrades needrestart chrony polkitd samba cups avahi-daemon snmpd
munin-node nagios-nrpe-server prometheus-node-exporter prometheus-blackbox-exporter prometheus zabbix-agent
smartmontools mdadm lvm2 openvpn memcached docker.io containerd network-manager nfs-kernel-server wireguard-tools
modemmanager isc-dhcp-client wpasupplicant hostapd udisks2 rpcbind libvirt-daemon-system libvirt-clients
systemd-oomd iptables apparmor
"""
CLIENTS = """
swaks openssl curl dnsutils procps iproute2 iputils-ping bsd-mailx python3 netcat-openbsd sshpass e2fsprogs kmod
smbclient clamdscan snmp
"""
INSTALL = """
printf '#!/bin/sh\\nexit 101\\n' > "$0/usr/sbin/policy-rc.d"
chmod 755 "$0/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$0/etc/resolv.conf"
mount --bind /proc "$0/proc"
mount --bind /dev "$0/dev"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
chroot "$0" apt-get update -q
printf '%s\\n' 'postfix postfix/main_mailer_type select Internet Site' \\
    'postfix postfix/mailname string mail.example.org' | chroot "$0" debconf-set-selections
chroot "$0" eatmydata apt-get install -y -q --no-install-recommends "$@"
chroot "$0" apt-get clean
"""


def tree() -> Path:
    """The tree; made where it is missing or its list of packages has changed."""
    packages = [*SERVICES.split(), *CLIENTS.split()]
    wanted = hashlib.sha256(" ".join((SOURCES, BASE, *packages)).encode()).hexdigest()[:12]
    place = BUILD / f"debian-{wanted}"
    if place.exists():
        return place
    if shutil.which("mmdebstrap") is None:
        raise SystemExit("make quiet needs mmdebstrap: apt-get install mmdebstrap")
    BUILD.mkdir(parents=True, exist_ok=True)
    unfinished = BUILD / "unfinished"
    subprocess.run(["rm", "-rf", "--one-file-system", unfinished], check=True)
    print("quiet: making a Debian tree, once: two minutes and 2.4 GB", flush=True)
    apart: list[str | Path] = ["unshare", "--mount", "--propagation", "private"]  # what is mounted goes with it
    argv: list[str | Path] = [
        *apart,
        "mmdebstrap",
        "--mode=root",
        "--variant=important",
        f"--include={BASE}",
        "bookworm",
        unfinished,
    ]
    _run([*argv, "-"], SOURCES)
    _run([*apart, "sh", "-ec", INSTALL, unfinished, *packages], "")
    unfinished.rename(place)
    return place


def _run(argv: list[str | Path], text: str) -> None:
    with open(BUILD / "log", "ab") as log:
        done = subprocess.run(argv, input=text.encode(), stdout=log, stderr=log, timeout=1_800, check=False)
    if done.returncode:
        raise SystemExit(f"quiet: no tree: {argv[0]} failed; see {BUILD / 'log'}")
