# An ordinary hour of one host: what people, mail, web, databases, packages and timers do. Run inside, as root.
# `claims.undone` reads what it prints: a line for each thing that did not work, and the last one.
exec 2>&1
failed() { echo "did not work: $*"; }
feed() { timeout 30 "$@" > /tmp/out 2>&1 || failed "$* : $SECONDS s: $(tail -1 /tmp/out)"; } # with its standard input
try() { feed "$@" < /dev/null; }
ssh="ssh -q -b 192.0.2.7 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"

# logins
for n in 1 2 3; do try $ssh -i /root/key alice@192.0.2.10 true; done
try sshpass -p 'battery staple' $ssh bob@192.0.2.10 true
try $ssh -tt -i /root/key alice@192.0.2.10 'sudo id; sudo -i true'
try sftp -q -b /dev/null -i /root/key -o BindAddress=192.0.2.7 -o StrictHostKeyChecking=no alice@192.0.2.10
try scp -q -i /root/key -o BindAddress=192.0.2.7 -o StrictHostKeyChecking=no /etc/hosts alice@192.0.2.10:
try su - alice -c true
try runuser -u bob true
try sudo -u alice true
echo 'true' | feed at now

# mail: from a client, with a password over TLS, from the host itself, and read by IMAP and POP3
for n in 1 2; do try swaks -n -s 192.0.2.10 --local-interface 192.0.2.7 -f carol@example.org -t alice@example.org --header "Subject: $n"; done
try swaks -n -s 192.0.2.10:587 -tls -au alice -ap 'correct horse' -f alice@example.org -t bob@example.org
echo hello | feed mail -s hello alice
printf 'From: a@example.org\nTo: bob@example.org\nSubject: s\n\nt\n' | feed sendmail bob
for n in $(seq 20); do mailq | grep -q empty && break; sleep 1; done
feed python3 - <<'EOF'
import imaplib, poplib, ssl
context = ssl._create_unverified_context()
for name, word in (("alice", "correct horse"), ("bob", "battery staple")):
    box = imaplib.IMAP4_SSL("192.0.2.10", ssl_context=context)
    box.login(name, word); assert int(box.select()[1][0]) > 1, f"no mail for {name}"; box.fetch("1:*", "(RFC822)"); box.logout()
    box = poplib.POP3_SSL("192.0.2.10", context=context)
    box.user(name); box.pass_(word); box.list(); box.quit()
EOF
feed rspamc <<< "Subject: x"

# names and time
for server in 127.0.0.1 127.0.0.3; do try dig @$server www.example.org; try dig @$server nothing.example.net; done
try rndc reload
try rndc stats
try unbound-control reload
try chronyc sources
try dig -b 192.0.2.7 @192.0.2.10 example.org MX

# web
for n in 1 2 3; do try curl -sfk https://192.0.2.10/; try curl -sf http://192.0.2.10/index.php; try curl -sf http://127.0.0.1:8000/; done
try curl -sf -x http://127.0.0.1:3128 http://mail.example.org/
try curl -sf http://127.0.0.1:9100/metrics
try curl -sf 'http://127.0.0.1:9115/probe?module=http_2xx&target=127.0.0.1:8080'
try curl -sf http://127.0.0.1:9090/metrics
try apachectl graceful
try nginx -s reload
try systemctl reload haproxy squid php8.2-fpm postfix dovecot

# databases
try mariadb -e 'create database shop; use shop; create table t (a int); insert into t values (1); select * from t'
try su - postgres -c 'psql -c "create table t (a int); insert into t values (1); checkpoint"'
try redis-cli set a b
try redis-cli bgsave
try redis-cli bgrewriteaof
printf 'set a 0 0 1\r\nb\r\nquit\r\n' | feed nc -N 127.0.0.1 11211

# files, printers, names on the link
try smbclient -L 127.0.0.1 -N
try nmcli general
try snmpget -v2c -c public 127.0.0.1 1.3.6.1.2.1.1.1.0
printf 'list\nfetch cpu\nquit\n' | feed nc -N 127.0.0.1 4949
try zabbix_agentd -t agent.ping
try udisksctl status
try pkcheck --action-id org.freedesktop.login1.power-off --process $$
try fail2ban-client set sshd banip 203.0.113.9
try fail2ban-client set sshd unbanip 203.0.113.9
try docker info
try loginctl list-sessions
try hostnamectl
try timedatectl
try wall hello

# packages, a service restarted, a reload of the manager
try apt-get update
try unattended-upgrade -v
try apt-get install -y --reinstall --allow-downgrades example
try systemctl daemon-reload
for unit in ssh cron rsyslog postfix dovecot nginx apache2 mariadb postgresql redis-server named unbound dnsmasq haproxy \
    opendkim rspamd spamd amavis chrony smbd nmbd cups avahi-daemon snmpd munin-node nagios-nrpe-server \
    prometheus-node-exporter prometheus-blackbox-exporter prometheus zabbix-agent openvpn@local memcached NetworkManager \
    fail2ban squid php8.2-fpm atd systemd-logind polkit clamav-daemon udisks2 unattended-upgrades systemd-journald; do
    try systemctl restart $unit; systemctl -q is-failed $unit && failed "$unit: it runs no more"
done

# an hour and a night: each timer's service, each of cron's directories
for unit in $(systemctl list-timers --all --plain --no-legend | sed 's/.* //' | grep -v -e fwupd -e podman | sort -u) logrotate.service \
    apt-daily.service apt-daily-upgrade.service systemd-tmpfiles-clean.service; do
    try systemctl start "$unit"
done
for directory in hourly daily weekly monthly; do try run-parts /etc/cron.$directory; done
try logrotate -f /etc/logrotate.conf
try journalctl --rotate
try journalctl --vacuum-time=10d

# until cron has run what it runs each minute, twice
for n in $(seq 130); do
    runs=$(journalctl -q -t CRON --since "@$START" | grep -c '(alice) CMD')
    [ "$runs" -ge 2 ] && break
    sleep 1
done
[ "$runs" -ge 2 ] || failed "cron: $runs jobs of alice"
for n in 1 2 3; do mailq | grep -q empty && break; sleep 2; done
journalctl --sync
echo "the hour is over"
