#!/bin/sh
# PID 1 of a throw-away container becomes a real systemd, over an overlay of this machine's root. Called by booted.py,
# in namespaces of its own: booted.sh STATE NAME SEED...
#
# Nothing here can reach the machine: what is written goes to a tmpfs that dies with the mount namespace.
set -eu
state=$1 name=$2
shift 2
root=$state/root over=$state/over
mkdir -p "$root" "$over"
mount -t tmpfs -o size=4g,mode=755 tmpfs "$over"
mkdir "$over/up" "$over/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$over/up,workdir=$over/work" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
done
mknod -m 666 "$root/dev/tty" c 5 0
mknod -m 600 "$root/dev/console" c 1 3 # a regular file here leaves the system degraded
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
mount -t mqueue mqueue "$root/dev/mqueue"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
# The machine's own logs, and a journal of its past, are not the container's.
rm -rf "$root/var/log/journal" "$root/var/log/logwarden" "$root/var/lib/logwarden"
rm -f "$root/usr/sbin/policy-rc.d" # images of containers forbid packages to start a service
mkdir -p "$root/var/log/journal"
echo "$name" >"$root/etc/hostname"
rm -f "$root/etc/machine-id"
: >"$root/etc/machine-id"
hostname "$name"
ip link set lo up
for unit in console-getty.service getty@tty1.service sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-fs-fuse-connections.mount dev-hugepages.mount systemd-modules-load.service apt-daily.timer \
    apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer man-db.timer dpkg-db-backup.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
for seed; do cp -a "$seed/." "$root/"; done
cd "$root"
mkdir -p .machine
pivot_root . .machine
umount -l /.machine
rmdir /.machine
mount --make-rshared / # without it the folders of LoadCredential= are empty
exec env -i container=logwarden-test PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
    /sbin/init --unit=multi-user.target --show-status=0
