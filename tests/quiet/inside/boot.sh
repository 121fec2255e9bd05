#!/bin/bash
# PID 1 of the machine, until it becomes systemd: boot.sh TREE NAME PLACE, in namespaces of its own.
set -eu
tree=$1 name=$2 place=$3
root=$place/root upper=$place/upper
mkdir -p "$root" "$upper"
mount -t tmpfs -o size=6g,mode=755 tmpfs "$upper"
mkdir "$upper/up" "$upper/work"
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$upper/up,workdir=$upper/work" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue" "$root/dev/net"
device() { mknod -m "$2" "$root/dev/$1" "$3" "$4" "$5"; }
device null 666 c 1 3; device zero 666 c 1 5; device full 666 c 1 7; device random 666 c 1 8; device urandom 666 c 1 9
device tty 666 c 5 0; device kmsg 644 c 1 11; device net/tun 666 c 10 200; device loop-control 660 c 10 237
device console 600 c 1 3 # a regular file here leaves the system degraded
for n in 0 1 2 3 4 5 6 7; do device loop$n 660 b 7 $n; done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for n in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${n%:*}" "$root/dev/${n#*:}"; done
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
mount -t mqueue mqueue "$root/dev/mqueue"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
echo "$name" > "$root/etc/hostname"
: > "$root/etc/machine-id"
rm -f "$root/usr/sbin/policy-rc.d"
hostname "$name"
ip link set lo up
ip link add eth0 type veth peer name outside0
ip link set eth0 up
ip link set outside0 up
ip address add 192.0.2.10/24 dev eth0
ip address add 2001:db8::10/64 dev eth0 nodad
ip address add 192.0.2.7/24 dev outside0
for unit in console-getty.service getty@tty1.service sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-fs-fuse-connections.mount dev-hugepages.mount systemd-modules-load.service \
    apt-daily.timer apt-daily-upgrade.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
PLACE=$root sh -e "$(dirname "$0")/configure.sh"
cd "$root"
mkdir -p .oldroot
pivot_root . .oldroot
umount -l /.oldroot
rmdir /.oldroot
mount --make-rshared / # without it credential folders are empty
exec env -i container=logwarden-quiet PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
    /sbin/init --unit=multi-user.target --show-status=0
