"""Real mail servers deliver a digest, whatever is in it, and a mailbox gives back every part of it as it was."""

from __future__ import annotations

import mailbox
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
from logcheck_peer import unpacked
from namespaces import namespaces
from test_digest import HOSTILE, UNTIL, entry, everywhere, mailed, parse

from logwarden.digest import Attached
from logwarden.digest.render import render
from logwarden.mailer import Smtp
from logwarden.model import Message

pytestmark = [pytest.mark.root, pytest.mark.slow]

DEADLINE = 60.0
PORT = 2525
"""In a network of the test's own: nobody else can have it."""

EXIM = """
primary_hostname = mx.example.org
spool_directory = {place}/spool
log_file_path = {place}/log/%slog
pid_file_path = {place}/pid
keep_environment =
acl_smtp_rcpt = accept
acl_smtp_data = accept
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  file = {place}/mail/box
  user = {user}
  group = {group}
"""

Start = Callable[[Path], AbstractContextManager[subprocess.Popen[bytes]]]

POSTFIX = """
compatibility_level = 3.6
queue_directory = {place}/spool
data_directory = {place}/data
daemon_directory = {root}/usr/lib/postfix/sbin
command_directory = {root}/usr/sbin
mail_owner = daemon
setgid_group = mail
import_environment = LD_LIBRARY_PATH MAIL_CONFIG
export_environment = LD_LIBRARY_PATH MAIL_CONFIG
maillog_file = {place}/log/mail.log
maillog_file_prefixes = {place}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.org
mydestination =
alias_maps =
virtual_mailbox_domains = example.org
virtual_mailbox_base = {place}/mail
virtual_mailbox_maps = static:box
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
"""
SERVICES = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
QUEUE = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "pid", "private")


def wait(done: Callable[[], object], running: subprocess.Popen[bytes], place: Path) -> None:
    """Until something is so, while the server runs."""
    deadline = time.monotonic() + DEADLINE
    while not done():
        log = "".join(file.read_text("utf-8", "replace") for file in (place / "log").glob("*"))
        assert running.poll() is None, log
        assert time.monotonic() < deadline, log
        try:
            running.wait(0.05)
        except subprocess.TimeoutExpired:
            continue


def answers() -> bool:
    try:
        with socket.create_connection(("127.0.0.1", PORT), 5) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False


def directories(place: Path, owner: str, *names: str) -> None:
    who = pwd.getpwnam(owner)
    for name in names:
        (place / name).mkdir(parents=True)
        os.chown(place / name, who.pw_uid, who.pw_gid)


@contextmanager
def exim(place: Path) -> Iterator[subprocess.Popen[bytes]]:
    program = shutil.which("exim4", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("needs exim4-daemon-light")
    user = pwd.getpwnam("Debian-exim")
    directories(place, user.pw_name, "spool", "log", "mail")
    settings = place / "exim.conf"
    settings.write_text(EXIM.format(place=place, user=user.pw_name, group=user.pw_gid))
    with running([program, "-C", str(settings), "-bdf", "-oX", f"127.0.0.1.{PORT}"], {}, place) as server:
        yield server


@contextmanager
def postfix(place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The system's, or one that is unpacked: Debian installs none beside an exim."""
    installed = Path("/usr/lib/postfix/sbin/master").exists()
    root = Path("/") if installed else unpacked("postfix", "postfix")
    if root is None:
        # None of conftest's ORACLES, so it may be missing in CI: the set-up installs exim, beside which Debian has no
        # postfix, and where nothing else is missing it fetches no package lists either. exim's test is always there.
        pytest.skip("postfix is not installed, and apt cannot fetch it")
    owner = pwd.getpwnam("mail")
    directories(place, "daemon", *(f"spool/{name}" for name in (*QUEUE, "saved", "trace")), "data")
    directories(place, "root", "conf", "log")
    directories(place, "mail", "mail")
    directories(place, "daemon", "spool/public")
    os.chown(place / "spool", 0, 0)
    os.chown(place / "spool/pid", 0, 0)
    filled = {"place": place, "root": str(root).rstrip("/"), "uid": owner.pw_uid, "gid": owner.pw_gid}
    (place / "conf/main.cf").write_text(POSTFIX.format(**filled))
    (place / "conf/master.cf").write_text(SERVICES.format(port=PORT))
    master = root / "usr/lib/postfix/sbin/master"
    own = {"LD_LIBRARY_PATH": str(root / "usr/lib/postfix"), "MAIL_CONFIG": str(place / "conf")}
    with running([str(master), "-d", "-c", str(place / "conf")], own, place) as server:
        yield server


@contextmanager
def running(command: list[str], more: dict[str, str], place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process group of its own, which ends with the block."""
    with (place / "log/stderr").open("wb") as said:
        server = subprocess.Popen(command, env={**os.environ, **more}, start_new_session=True, stderr=said)
    try:
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a server that is not root can reach its files."""
    for above in (tmp_path, *tmp_path.parents):
        if above.stat().st_uid == os.getuid() and above.stat().st_mode & 0o001 == 0:
            above.chmod(above.stat().st_mode | 0o011)
    return tmp_path


@pytest.mark.parametrize("server", [exim, postfix], ids=["exim", "postfix"])
def test_a_mail_server_delivers_every_part_of_a_digest_as_it_was(server: Start, place: Path) -> None:
    text = "".join(each for each in HOSTILE if len(each) < 1000) + "From me\nFrom you\n.\n.."
    rendered = render(everywhere(text))
    lines = Attached()
    list(lines.through([entry(text), entry("y" * 60_000)]))
    content = mailed(rendered, attached=lines)
    recipients = ("box@example.org", "root@example.org")
    with namespaces(1) as (network,), network.inside(), server(place) as process:
        wait(answers, process, place)
        Smtp("127.0.0.1", PORT, timeout=20).deliver(
            Message(1, "<1@web1>", "logwarden@web1.example", recipients, content, subject=rendered.subject)
        )
        box = place / "mail" / "box"
        wait(lambda: box.exists() and box.read_bytes().count(b"\nMessage-ID:") >= 1 and complete(box), process, place)
        delivered = [parse(each.as_bytes()) for each in mailbox.mbox(box)]
    assert delivered
    for mail in delivered:
        sent = parse(content)
        for name in ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "List-Id"):
            assert mail.get_all(name) == sent.get_all(name)
        assert mail["Date"].datetime.timestamp() == UNTIL
        ours, theirs = list(sent.walk()), list(mail.walk())
        assert [each.get_content_type() for each in theirs] == [each.get_content_type() for each in ours]
        for one, other in zip(ours, theirs, strict=True):
            if not one.is_multipart():
                assert unix(other.get_content()) == unix(one.get_content())
        assert unix(theirs[2].get_content()) == rendered.text


def complete(box: Path) -> bool:
    """Whether the last mail in it is there to its end."""
    mails = list(mailbox.mbox(box))
    boundary = parse(mails[-1].as_bytes()).get_boundary() or ""
    return bool(mails) and mails[-1].as_bytes().rstrip().endswith(f"--{boundary}--".encode())


def unix(content: str) -> str:
    """SMTP's ends of lines, and mailboxes' last one, are no matter."""
    return content.replace("\r\n", "\n").rstrip("\n") + "\n"
