"""What goes wrong, each seeded once into the running machine, and what must be reported of it.

FAULTS are for logwarden and logcheck alike: `claims` has the run fail where either misses one. OURS_ALONE are those
that logcheck-database calls normal, each with the reason why we do not. Most really happen. `stand_in` marks a line
that is written by logger in the daemon's words, because the hardware or the kernel that would say it is not here.
"""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """A script, run inside as root, and a regex for the message that must be reported. `why`: of a line that
    logcheck-database calls normal, why it is news."""

    name: str
    script: str
    shown: str
    stand_in: bool = False
    why: str = ""


def _broken(unit: str, file: str, text: str, shown: str) -> Fault:
    """A service that is restarted with a mistake in its configuration; it is put right afterwards."""
    script = f"""
[ -e {file} ] && cp -a {file} /tmp/kept
printf '%s\\n' '{text}' >> {file}
timeout 60 systemctl restart {unit}
sleep 0.5
if [ -e /tmp/kept ]; then mv /tmp/kept {file}; else rm {file}; fi
systemctl reset-failed
timeout 60 systemctl restart {unit}
"""
    return Fault(f"{unit}: a mistake in its configuration", script, shown)


def _said(name: str, program: str, level: str, text: str, shown: str) -> Fault:
    script = f"printf '%s\\n' 'MESSAGE={text}' SYSLOG_IDENTIFIER={program} PRIORITY={level} | logger --journald"
    return Fault(name, script, shown, stand_in=True)


OOM = "OOM kill"
"""This one is seeded from outside: the machine has no memory controller of its own."""

FAULTS = (
    Fault(OOM, "", r"[Oo]ut of memory: Killed process"),
    Fault("segfault", "python3 -c 'import ctypes; ctypes.string_at(0)'", r"segfault at"),
    Fault(
        "I/O error of a disk",
        "truncate -s 8M /tmp/disk; d=$(losetup -f --show /tmp/disk); truncate -s 0 /tmp/disk;"
        " dd if=$d of=/dev/null bs=4k count=1 iflag=direct; losetup -d $d",
        r"I/O error",
    ),
    Fault(
        "damaged file system",
        "truncate -s 16M /tmp/fs; mkfs.ext4 -q -O ^metadata_csum -E lazy_itable_init=0 /tmp/fs; mkdir -p /mnt/x;"
        " b=$(dumpe2fs /tmp/fs 2>/dev/null | sed -n 's/.*Inode table at \\([0-9]*\\).*/\\1/p' | head -1);"
        " dd if=/dev/urandom of=/tmp/fs bs=1k seek=$b count=8 conv=notrunc;"
        " mount -o loop /tmp/fs /mnt/x; ls -la /mnt/x;"
        " umount /mnt/x",
        r"EXT4-fs.*(error|get root inode failed|mount failed)",
    ),
    Fault(
        "failed unit", "systemd-run --unit=broken --service-type=oneshot false", r"broken\.service: Failed with result"
    ),
    Fault(
        "a unit that gives up restarting",
        "systemd-run --unit=again -p Restart=always -p RestartSec=0 false; sleep 3",
        r"again\.service: Start request repeated too quickly",
    ),
    Fault("sudo by a user it does not know", "echo 'battery staple' | su bob -c 'sudo -S id'", r"user NOT in sudoers"),
    Fault("su with a wrong password", "echo wrong | su bob -c 'su root -c id'", r"FAILED SU"),
    _said(
        "new setuid binary",
        "checksecurity",
        "5",
        "new setuid program: -rwsr-xr-x 1 root root 16712 /usr/local/bin/x",
        r"new setuid program",
    ),
    Fault(
        "disk full",
        "mkdir -p /mnt/full; mount -t tmpfs -o size=64k tmpfs /mnt/full;"
        " systemd-run --wait --unit=full dd if=/dev/zero of=/mnt/full/x; umount /mnt/full",
        r"No space left on device",
    ),
    Fault(
        "certificate expired",
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=old.example.org -keyout /tmp/k -out /tmp/c;"
        " systemd-run --wait --unit=certificate openssl verify -attime 4000000000 -CAfile /tmp/c /tmp/c",
        r"certificate has expired",
    ),
    _said("RAID degraded", "mdadm", "2", "DegradedArray event detected on md device /dev/md0", r"DegradedArray"),
    _said(
        "a disk that fails",
        "smartd",
        "2",
        "Device: /dev/sda [SAT], 8 Currently unreadable (pending) sectors",
        r"unreadable \(pending\) sectors",
    ),
    _said(
        "memory that fails",
        "kernel",
        "0",
        "mce: [Hardware Error]: Machine check events logged",
        r"Hardware Error",
    ),
    _said(
        "a link that does not come up",
        "systemd-networkd",
        "3",
        "eth1: Could not bring up interface: Invalid argument",
        r"Could not bring up interface",
    ),
    Fault(
        "ssh by a user who does not exist",
        "sshpass -p x ssh -b 192.0.2.7 -o StrictHostKeyChecking=no -o PubkeyAuthentication=no eve@192.0.2.10 true",
        r"Invalid user eve|invalid user eve",
    ),
    Fault(
        "ssh: a home that anybody may write",
        "chmod 777 /home/alice; ssh -b 192.0.2.7 -o BatchMode=yes -o StrictHostKeyChecking=no -i /root/key"
        " alice@192.0.2.10 true;"
        " chmod 700 /home/alice",
        r"bad ownership or modes",
    ),
    Fault(
        "an account that has expired",
        "chage -E 1 bob; sshpass -p 'battery staple' ssh -b 192.0.2.7 -o StrictHostKeyChecking=no"
        " -o PubkeyAuthentication=no bob@192.0.2.10 true; chage -E -1 bob",
        r"account bob has expired",
    ),
    Fault(
        "imap with a wrong password",
        "timeout 20 curl -sk imaps://192.0.2.10/ -u bob:wrong; sleep 3; systemctl restart dovecot",
        r"auth failed|authentication failure",
    ),
    Fault("a new user", "useradd mallory", r"new user: name=mallory"),
    Fault(
        "a user who becomes an administrator",
        "usermod -aG sudo bob; gpasswd -d bob sudo",
        r"add(ed)? 'bob' to group 'sudo'",
    ),
    Fault("a changed password", "echo 'bob:battery staple' | chpasswd", r"password changed for bob"),
    Fault(
        "a listener on the link",
        "ip link set eth0 promisc on; ip link set eth0 promisc off",
        r"entered promiscuous mode",
    ),
    Fault(
        "a shutdown that is planned",
        "shutdown +600; shutdown -c",
        r"(shutting down|power off|going down|Shutdown|shutdown)",
    ),
    Fault(
        "a daemon killed by SIGKILL",
        "kill -9 $(pidof redis-server); sleep 1",
        r"redis-server\.service: Main process exited",
    ),
    Fault(
        "a daemon that dumps core", "kill -SEGV $(pidof memcached); sleep 1", r"memcached\.service: Main process exited"
    ),
    Fault(
        "a backend that goes down",
        "systemctl stop apache2; sleep 7; systemctl start apache2",
        r"Server apache/apache is DOWN",
    ),
    Fault(
        "a virus",
        "echo 'hello virus hello' > /tmp/virus; chmod 644 /tmp/virus; timeout 30 clamdscan --fdpass /tmp/virus",
        r"FOUND",
    ),
    Fault(
        "a zone that does not load",
        "cp /etc/bind/db.example.org /tmp/zone; echo 'x IN A 999' >> /etc/bind/db.example.org; rndc reload; sleep 1;"
        " cp /tmp/zone /etc/bind/db.example.org; rndc reload",
        r"not loaded due to errors",
    ),
    Fault(
        "a crontab that cannot be read",
        "echo '61 * * * * root true' > /etc/cron.d/bad; sleep 62; rm /etc/cron.d/bad",
        r"bad minute",
    ),
    _broken("nginx", "/etc/nginx/nginx.conf", "nonsense;", r"Failed to start nginx\.service"),
    _broken("apache2", "/etc/apache2/apache2.conf", "Nonsense", r"Failed to start apache2\.service"),
    _broken(
        "mariadb",
        "/etc/mysql/mariadb.conf.d/99-x.cnf",
        "[mysqld]\nnonsense=1",
        r"unknown variable|Failed to start mariadb",
    ),
    _broken(
        "postgresql@15-main",
        "/etc/postgresql/15/main/postgresql.conf",
        "nonsense = 1",
        r"Failed to start postgresql@15-main",
    ),
    _broken("squid", "/etc/squid/squid.conf", "nonsense", r"Failed to start squid|Bungled"),
    _broken("unbound", "/etc/unbound/unbound.conf", "nonsense", r"Failed to start unbound"),
    _broken("haproxy", "/etc/haproxy/haproxy.cfg", "nonsense", r"Failed to start haproxy"),
    _broken("dnsmasq", "/etc/dnsmasq.d/local.conf", "nonsense", r"Failed to start dnsmasq"),
    _broken("php8.2-fpm", "/etc/php/8.2/fpm/php-fpm.conf", "nonsense = [", r"Failed to start php8\.2-fpm"),
    _broken("redis-server", "/etc/redis/redis.conf", "nonsense", r"Failed to start redis-server"),
    _broken("chrony", "/etc/chrony/chrony.conf", "nonsense", r"Failed to start chrony"),
    _broken("logrotate", "/etc/logrotate.d/nonsense", "/var/log/x {\n  nonsense\n}", r"Failed to start logrotate"),
    _broken("dovecot", "/etc/dovecot/conf.d/zz.conf", "nonsense", r"dovecot\.service: Failed with result"),
    _broken("opendkim", "/etc/opendkim.conf", "Nonsense yes", r"Failed to start opendkim"),
    _broken("named", "/etc/bind/named.conf.local", "nonsense;", r"named\.service: Failed with result"),
    Fault(
        "a mount that fails",
        "truncate -s 1M /tmp/blank; systemctl start mnt-y.mount; systemctl reset-failed",
        r"Failed to mount mnt-y\.mount",
    ),
    Fault(
        "a program that is not there",
        "systemctl start gone; sleep 1; systemctl reset-failed",
        r"gone\.service: Failed (at step EXEC|to locate executable)",
    ),
    Fault(
        "a daemon that hangs in its start",
        "timeout 20 systemd-run --unit=slow --service-type=notify -p TimeoutStartSec=1 sleep 60;"
        " systemctl reset-failed",
        r"slow\.service: start operation timed out",
    ),
    Fault(
        "a daemon that its watchdog finds dead",
        "timeout 20 systemd-run --unit=dead -p WatchdogSec=1 -p TimeoutAbortSec=1 sleep 60; sleep 3;"
        " systemctl reset-failed",
        r"dead\.service: Watchdog timeout",
    ),
    Fault(
        "a database login with a wrong password",
        "timeout 10 mariadb -h 127.0.0.1 -u shop -pwrong -e 'select 1'; sleep 1",
        r"Access denied for user 'shop'",
    ),
)
"""As many as `claims.LEAST`, and both must report each."""

OURS_ALONE = (
    Fault(
        "ssh with a wrong password",
        "sshpass -p wrong ssh -b 192.0.2.7 -o StrictHostKeyChecking=no -o PubkeyAuthentication=no bob@192.0.2.10 true",
        r"Failed password for bob",
        why="a password refused is how guessing looks; what mistyped passwords cost is one line of a digest",
    ),
    Fault(
        "mail that is no business of ours",
        "swaks -n -s 192.0.2.10 --local-interface 192.0.2.7 -f x@example.net -t y@example.net",
        r"Relay access denied",
        why="somebody looks for a relay, or a user of ours has no login: both are for the administrator",
    ),
    Fault(
        "a changed crontab",
        "echo '0 0 1 1 * true' | crontab -",
        r"REPLACE \(root\)",
        why="what root runs each night has changed: so does who wants to stay",
    ),
)
"""logcheck-database 1.4 hides these. The run fails too where that is no longer so: then they belong above."""
