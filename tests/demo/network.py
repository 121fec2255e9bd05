"""A second network namespace, joined by a wire to the one we are in, from which the demo's attackers connect.

Owns: the wire, both ends' addresses, and the question "can this address still reach our port?".
Never: touches the network that the machine is on: the caller is in a namespace of its own, and both end with it.
Fails: with CalledProcessError where ip(8) refuses.

Run as a program it is the far end: it reads addresses, connects from each, and answers `open` or `dropped`.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

HERE = {4: "192.0.2.10", 6: "2001:db8::10"}
PORT = 22
PATIENCE = 0.5
"""Seconds that a connection may take over a wire of zero length."""


def family(address: str) -> int:
    return 6 if ":" in address else 4


def _ip(commands: Iterable[str], *within: str) -> None:
    text = "\n".join(commands).encode()
    subprocess.run([*within, "ip", "-batch", "-"], input=text, check=True)


class FarEnd:
    """The process in the other namespace."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def reaches_us(self, address: str) -> bool:
        """Whether a TCP connection from `address` to PORT is answered."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{address}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline() == "open\n"


@contextmanager
def wire(addresses: Iterable[str]) -> Iterator[FarEnd]:
    """Join a new namespace that has `addresses` to ours, and answer on PORT, until the block ends."""
    far = list(addresses)
    argv = ["unshare", "--net", sys.executable, __file__]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it is in its namespace now
            _ip(_our_end(process.pid, far))
            _ip(_their_end(far), "nsenter", f"--target={process.pid}", "--net")
            with _answering():
                yield FarEnd(process)
        finally:
            process.terminate()


def _our_end(pid: int, far: list[str]) -> Iterator[str]:
    yield "link set lo up"
    yield f"link add near type veth peer name far netns {pid}"
    yield "link set near up"
    yield from (f"address add {address} dev near{_at_once(address)}" for address in HERE.values())
    yield from (f"route add {address} dev near" for address in far)


def _their_end(far: list[str]) -> Iterator[str]:
    yield "link set lo up"
    yield "link set far up"
    yield from (f"address add {address} dev far{_at_once(address)}" for address in far)
    yield from (f"route add {address} dev far" for address in HERE.values())


def _at_once(address: str) -> str:
    """IPv6 would look for a second owner of the address for a second before it uses it."""
    return " nodad" if family(address) == 6 else ""


@contextmanager
def _answering() -> Iterator[None]:
    server = socket.create_server(("", PORT), family=socket.AF_INET6, dualstack_ipv6=True)

    def accept() -> None:
        while True:
            try:
                server.accept()[0].close()
            except OSError:  # closed below
                return

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        address = line.strip()
        try:
            socket.create_connection((HERE[family(address)], PORT), PATIENCE, (address, 0)).close()
            print("open", flush=True)
        except TimeoutError:
            print("dropped", flush=True)


if __name__ == "__main__":
    main()
