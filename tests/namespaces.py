"""Network namespaces for tests: made in this process, joined by wires, gone with the last file descriptor.

A socket belongs for ever to the namespace in which it was made; so does a process that was started there. So a test
enters a namespace, makes its sockets, and uses them from wherever it is. Nothing has a name that could be left behind.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager

CLONE_NEWNET = 0x40000000
"""sched.h: what `unshare --net` asks for."""
PORT = 4242
DROPPED = 0.3
"""Seconds without an answer, over a wire of no length, that mean: dropped."""

_libc = ctypes.CDLL(None, use_errno=True)
_wires = itertools.count()


def _checked(status: int) -> None:
    if status != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def entered(path: str) -> Iterator[None]:
    """Put this thread, and what it starts, into the network namespace at `path`, until the block ends."""
    home, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(path, os.O_RDONLY)
    try:
        _checked(_libc.setns(there, CLONE_NEWNET))
        try:
            yield
        finally:
            _checked(_libc.setns(home, CLONE_NEWNET))
    finally:
        os.close(there)
        os.close(home)


class Namespace:
    """A network namespace, with its loopback up."""

    def __init__(self) -> None:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _checked(_libc.unshare(CLONE_NEWNET))
            self._fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            ip("link set lo up")
        finally:
            _checked(_libc.setns(home, CLONE_NEWNET))
            os.close(home)

    @property
    def path(self) -> str:
        """What ip(8) takes after `netns`, from this or another namespace."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def inside(self) -> AbstractContextManager[None]:
        """Put this thread, and what it starts, into the namespace until the block ends."""
        return entered(self.path)

    def close(self) -> None:
        os.close(self._fd)

    def listen(self, address: str) -> socket.socket:
        """A TCP server on PORT. The kernel completes connections to it; nobody need accept them."""
        with self.inside():
            return socket.create_server((address, PORT), family=_family(address))

    def connect(self, source: str, target: str, timeout: float = DROPPED) -> socket.socket:
        """A TCP connection from `source` to `target`. Raises TimeoutError where packets are dropped."""
        with self.inside():
            return socket.create_connection((target, PORT), timeout, (source, 0))

    def reaches(self, source: str, target: str) -> bool:
        """Whether a connection from `source` to `target` is answered."""
        try:
            self.connect(source, target).close()
        except TimeoutError:
            return False
        except OSError as error:  # no answer either; seen of a banned address on a busy machine
            if error.errno != errno.EHOSTUNREACH:
                raise
            return False
        return True


@contextmanager
def namespaces(count: int) -> Iterator[list[Namespace]]:
    """That many namespaces, until the block ends."""
    with ExitStack() as made:
        yield [made.enter_context(closing(Namespace())) for _ in range(count)]


def wire(here: Namespace, there: Namespace, ours: list[str], theirs: list[str]) -> None:
    """Join two namespaces that have these addresses, with a route to each of the other's."""
    number = next(_wires)
    near, far = f"near{number}", f"far{number}"
    with here.inside():
        ip(f"link add {near} type veth peer name {far} netns {there.path}")
        _set_up(near, ours, theirs)
    with there.inside():
        _set_up(far, theirs, ours)


def _set_up(device: str, own: list[str], others: list[str]) -> None:
    ip(f"link set {device} up")
    for address in own:  # nodad: IPv6 would look for a second owner of the address for a second first
        ip(f"address add {address} dev {device}{' nodad' if ':' in address else ''}")
    for address in others:
        ip(f"route add {address} dev {device}")


def ip(command: str) -> None:
    run(f"ip {command}")


def run(command: str) -> str:
    """Run a command in the namespace that this thread is in."""
    return subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
