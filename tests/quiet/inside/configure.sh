# Settings of the services, as an administrator of one host would make them; run in $PLACE before its first boot.
at() { mkdir -p "$(dirname "$PLACE$1")"; cat > "$PLACE$1"; }
inside() { chroot "$PLACE" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"; }
off() { for unit; do ln -sf /dev/null "$PLACE/etc/systemd/system/$unit"; done; }

mkdir -p "$PLACE/var/log/journal"
at /etc/hosts <<'EOF'
127.0.0.1 localhost
192.0.2.10 mail.example.org mail
192.0.2.7 client.example.org client
EOF
rm -f "$PLACE/etc/resolv.conf"
echo nameserver 127.0.0.1 > "$PLACE/etc/resolv.conf"

inside useradd -m -s /bin/bash alice
inside useradd -m -s /bin/bash bob
inside usermod -aG sudo alice
echo 'alice:correct horse' | inside chpasswd
echo 'bob:battery staple' | inside chpasswd
at /etc/sudoers.d/alice <<'EOF'
alice ALL=(ALL) NOPASSWD: ALL
EOF
inside ssh-keygen -q -t ed25519 -N '' -f /root/key
mkdir -p "$PLACE/home/alice/.ssh"
cp "$PLACE/root/key.pub" "$PLACE/home/alice/.ssh/authorized_keys"
inside chown -R alice:alice /home/alice
inside chmod 700 /home/alice/.ssh

at /etc/cron.d/backup <<'EOF'
* * * * * root true
* * * * * alice true
EOF

inside openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=mail.example.org -keyout /etc/ssl/private/mail.key \
    -out /etc/ssl/certs/mail.pem 2>/dev/null

# mail: postfix with a milter, a content filter on another port, and dovecot's sasl and lmtp
inside postconf -e myhostname=mail.example.org 'mydestination=mail.example.org, example.org, localhost' inet_interfaces=all \
    'mynetworks=127.0.0.0/8' smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth smtpd_sasl_auth_enable=yes \
    smtpd_tls_cert_file=/etc/ssl/certs/mail.pem smtpd_tls_key_file=/etc/ssl/private/mail.key \
    smtpd_tls_security_level=may smtpd_tls_loglevel=1 'smtpd_milters=inet:127.0.0.1:8891, inet:127.0.0.1:11332' \
    'non_smtpd_milters=$smtpd_milters' milter_default_action=accept \
    mailbox_transport=lmtp:unix:private/dovecot-lmtp content_filter=smtp-amavis:[127.0.0.1]:10024
at /tmp-master <<'EOF'
submission inet n - y - - smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o content_filter=
smtp-amavis unix - - y - 2 smtp
127.0.0.1:10025 inet n - y - - smtpd
  -o content_filter=
  -o smtpd_milters=
  -o mynetworks=127.0.0.0/8
EOF
cat "$PLACE/tmp-master" >> "$PLACE/etc/postfix/master.cf"
rm "$PLACE/tmp-master"
at /etc/dovecot/conf.d/99-local.conf <<'EOF'
mail_location = maildir:~/Maildir
ssl_cert = </etc/ssl/certs/mail.pem
ssl_key = </etc/ssl/private/mail.key
auth_username_format = %n
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    mode = 0600
    user = postfix
    group = postfix
  }
}
EOF
mkdir -p "$PLACE/etc/dkimkeys"
inside openssl genrsa -out /etc/dkimkeys/mail.private 2048 2> /dev/null
inside chmod 600 /etc/dkimkeys/mail.private
inside chown -R opendkim /etc/dkimkeys
at /etc/opendkim.conf <<'EOF'
Syslog yes
SyslogSuccess yes
LogWhy yes
Canonicalization relaxed/simple
Domain example.org
Selector mail
KeyFile /etc/dkimkeys/mail.private
Socket inet:8891@127.0.0.1
UserID opendkim
PidFile /run/opendkim/opendkim.pid
InternalHosts 127.0.0.1, 192.0.2.7
EOF
printf 'bind_socket = "127.0.0.1:11332";\n' > "$PLACE/etc/rspamd/local.d/worker-proxy.inc"
printf 'nothing:0:*:68656c6c6f2076697275732068656c6c6f\n' > "$PLACE/var/lib/clamav/local.ndb"
at /etc/systemd/system/clamav-daemon.service.d/local.conf <<'EOF'
[Unit]
ConditionPathExistsGlob=
EOF
inside chown clamav:clamav /var/lib/clamav/local.ndb
inside usermod -aG amavis clamav

# names: bind knows example.org and that there is nothing else; unbound and dnsmasq ask it
at /etc/bind/named.conf.options <<'EOF'
options {
  directory "/var/cache/bind";
  listen-on { 127.0.0.1; 192.0.2.10; };
  listen-on-v6 { none; };
  dnssec-validation no;
  allow-transfer { 127.0.0.1; };
};
EOF
at /etc/bind/named.conf.local <<'EOF'
zone "example.org" { type master; file "/etc/bind/db.example.org"; };
EOF
at /etc/bind/named.conf.default-zones <<'EOF'
zone "." { type master; file "/etc/bind/db.everything"; };
zone "localhost" { type master; file "/etc/bind/db.local"; };
zone "127.in-addr.arpa" { type master; file "/etc/bind/db.127"; };
EOF
at /etc/bind/db.example.org <<'EOF'
$TTL 3600
@ IN SOA mail root (1 3600 600 86400 3600)
  IN NS mail
  IN MX 10 mail
mail IN A 192.0.2.10
client IN A 192.0.2.7
www IN CNAME mail
EOF
at /etc/bind/db.everything <<'EOF'
$TTL 3600
@ IN SOA mail.example.org. root.example.org. (1 3600 600 86400 3600)
  IN NS mail.example.org.
mail.example.org. IN A 192.0.2.10
example.org. IN NS mail.example.org.
EOF
at /etc/unbound/unbound.conf.d/local.conf <<'EOF'
server:
  interface: 127.0.0.3
  do-not-query-localhost: no
  module-config: "iterator"
  verbosity: 1
  statistics-interval: 30
forward-zone:
  name: "."
  forward-addr: 127.0.0.1
EOF
rm -f "$PLACE/etc/unbound/unbound.conf.d/root-auto-trust-anchor-file.conf"
at /etc/default/unbound <<'EOF'
ROOT_TRUST_ANCHOR_UPDATE=false
EOF
at /etc/dnsmasq.d/local.conf <<'EOF'
listen-address=127.0.0.4
bind-interfaces
no-resolv
server=127.0.0.1
dhcp-range=192.0.2.100,192.0.2.150,1h
interface=eth0
except-interface=lo
port=0
EOF

# web
mkdir -p "$PLACE/var/www/html"
echo '<?php echo "hello";' > "$PLACE/var/www/html/index.php"
at /etc/apache2/ports.conf <<'EOF'
Listen 8080
EOF
sed -i 's/:80>/:8080>/' "$PLACE/etc/apache2/sites-available/000-default.conf"
at /etc/nginx/sites-available/default <<'EOF'
server {
  listen 80 default_server;
  listen 443 ssl;
  ssl_certificate /etc/ssl/certs/mail.pem;
  ssl_certificate_key /etc/ssl/private/mail.key;
  root /var/www/html;
  location ~ \.php$ { include snippets/fastcgi-php.conf; fastcgi_pass unix:/run/php/php-fpm.sock; }
}
EOF
echo 'd /run/udev/data 0755 root root -' > "$PLACE/etc/tmpfiles.d/udev.conf" # udev has no place in a container
echo 'shutdown_lifetime 1 second' > "$PLACE/etc/squid/conf.d/local.conf"
cat >> "$PLACE/etc/haproxy/haproxy.cfg" <<'EOF'
frontend web
  bind 127.0.0.1:8000
  default_backend apache
backend apache
  option httpchk
  server apache 127.0.0.1:8080 check
EOF

# remote access, monitoring, the rest
mkdir -p "$PLACE/etc/openvpn"
at /etc/openvpn/local.conf <<'EOF'
dev tun0
ifconfig 198.51.100.1 198.51.100.2
port 1194
secret /etc/openvpn/static.key
cipher AES-256-CBC
EOF
inside openvpn --genkey secret /etc/openvpn/static.key
at /etc/ddclient.conf <<'EOF'
daemon=300
use=if, if=eth0
protocol=dyndns2
server=127.0.0.1:8080
ssl=no
login=example
password='example'
home.example.org
EOF
sed -i 's/^server_address=.*/server_address=127.0.0.1/' "$PLACE/etc/nagios/nrpe.cfg"
at /etc/chrony/chrony.conf <<'EOF'
pool ntp.example.org iburst
local stratum 10
driftfile /var/lib/chrony/chrony.drift
makestep 1 3
EOF
at /etc/apt/apt.conf.d/52local <<'EOF'
Unattended-Upgrade::Origins-Pattern { "origin=Example"; };
Unattended-Upgrade::SyslogEnable "true";
EOF
rm -f "$PLACE/etc/apt/sources.list" "$PLACE"/etc/apt/sources.list.d/*
for version in 1.0 1.1; do
    d=$PLACE/tmp-deb-$version
    mkdir -p "$d/DEBIAN" "$d/usr/share/example"
    echo $version > "$d/usr/share/example/version"
    printf 'Package: example\nVersion: %s\nArchitecture: all\nMaintainer: Example <root@example.org>\nDescription: example\n' \
        $version > "$d/DEBIAN/control"
    mkdir -p "$PLACE/srv/debian"
    dpkg-deb -b "$d" "$PLACE/srv/debian/example_${version}_all.deb" > /dev/null
    rm -r "$d"
done
inside dpkg -i /srv/debian/example_1.0_all.deb > /dev/null
rm "$PLACE/srv/debian/example_1.0_all.deb"
at /etc/apt/sources.list.d/example.list <<'EOF'
deb [trusted=yes] file:/srv/debian ./
EOF
(cd "$PLACE/srv/debian" && chroot "$PLACE" sh -c 'cd /srv/debian && dpkg-deb -f *.deb > Packages &&
    printf "Filename: ./%s\nSize: %s\nSHA256: %s\n\n" *.deb "$(stat -c %s *.deb)" "$(sha256sum *.deb | cut -d" " -f1)" >> Packages &&
    printf "Origin: Example\nSuite: stable\nCodename: bookworm\nDate: Tue, 24 Nov 2026 00:00:00 UTC\nSHA256:\n %s %s Packages\n" \
        "$(sha256sum Packages | cut -d" " -f1)" "$(stat -c %s Packages)" > Release')

# what is started in vain, once all else has been seen
at /etc/systemd/system/gone.service <<'EOF'
[Service]
ExecStart=/usr/bin/gone
EOF
at /etc/systemd/system/mnt-y.mount <<'EOF'
[Mount]
What=/tmp/blank
Where=/mnt/y
Type=ext4
Options=loop
EOF

off fwupd-refresh.timer podman-auto-update.timer libvirtd.service libvirtd.socket libvirtd-ro.socket \
    libvirtd-admin.socket nfs-blkmap.service nfs-server.service run-rpc_pipefs.mount unbound-resolvconf.service \
    strongswan-starter.service wpa_supplicant.service hostapd.service
inside systemctl enable -q nginx apache2 postfix dovecot opendkim rspamd spamd amavis clamav-daemon unbound dnsmasq named \
    haproxy squid mariadb postgresql redis-server fail2ban chrony smbd nmbd cups avahi-daemon snmpd munin-node \
    nagios-nrpe-server prometheus-node-exporter prometheus-blackbox-exporter prometheus zabbix-agent openvpn memcached docker containerd \
    NetworkManager smartmontools atd anacron rsyslog ssh cron unattended-upgrades udisks2 \
    systemd-oomd php8.2-fpm || true
