"""nfnetlink: what is asked of the kernel's netfilter without a process, and what it answers.

Owns: the layout of a message (linux/netlink.h, linux/netfilter/nfnetlink.h). Which messages there are, `conntrack` and
`entries` know.
Fails: with OSError, as sockets do.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

TIMEOUT = 5.0
"""Seconds that the kernel may take for one answer."""

DUMP, ACK = 0x300, 0x4
NESTED, NET_BYTEORDER = 0x8000, 0x4000
"""What is said of an attribute in its type."""
TYPE_MASK = 0x3FFF

MESSAGE = struct.Struct("=IHHII")  # length, type, flags, sequence, port
GENERIC = struct.Struct("=BBH")  # family, version, resource
ATTRIBUTE = struct.Struct("=HH")  # length, type
BODY = MESSAGE.size + GENERIC.size
"""Where the attributes of a message begin."""

_NETLINK_NETFILTER = 12
_ERROR, _DONE = 0x2, 0x3
_START = struct.Struct("=IH")  # length and type of a message
_REQUEST = 0x1
_STATUS = struct.Struct("=i")  # of an answer: 0, or minus an errno


def connect() -> socket.socket:
    """A socket to the network namespace that we are in."""
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    kernel.settimeout(TIMEOUT)
    return kernel


def send(kernel: socket.socket, kind: int, flags: int, family: int, attributes: bytes = b"") -> None:
    """Send a request. `kind` is its subsystem << 8 | command."""
    header = MESSAGE.pack(BODY + len(attributes), kind, flags | _REQUEST, 0, 0)
    kernel.send(header + GENERIC.pack(family, 0, 0) + attributes)


def acknowledged(kernel: socket.socket) -> int:
    """The answer to a request with ACK: 0, or an errno. Raises OSError where what comes is none."""
    data = kernel.recv(1 << 16)
    if len(data) < MESSAGE.size + _STATUS.size or _START.unpack_from(data)[1] != _ERROR:
        raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
    return _status(data)


def _status(answer: bytes) -> int:
    """0, or the errno that a message which ends something tells."""
    status: int = _STATUS.unpack_from(answer, MESSAGE.size)[0] if len(answer) >= MESSAGE.size + _STATUS.size else 0
    return -status


def messages(kernel: socket.socket) -> Iterator[tuple[int, bytes]]:
    """The type and all of each message that answers a dump, up to the one that ends it, wherever in a datagram it is.
    Raises OSError where what comes is none, and where the kernel ends it with an error."""
    while True:
        data = kernel.recv(1 << 18)
        at = 0
        while at < len(data):
            length, kind = _START.unpack_from(data, at) if at + MESSAGE.size <= len(data) else (0, 0)
            if not MESSAGE.size <= length <= len(data) - at:
                raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
            if kind in (_ERROR, _DONE):
                if status := _status(data[at : at + length]):
                    raise OSError(status, os.strerror(status))
                return
            yield kind, data[at : at + length]
            at += aligned(length)
        if not data:
            raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))


def attributes(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The type of each attribute, and all of it, padding included. What is none ends them."""
    at = 0
    while at + ATTRIBUTE.size <= len(content):
        length, kind = ATTRIBUTE.unpack_from(content, at)
        if length < ATTRIBUTE.size:
            return
        yield kind & TYPE_MASK, content[at : at + aligned(length)]
        at += aligned(length)


def attribute(kind: int, content: bytes) -> bytes:
    """An attribute, padded as the next one needs it."""
    length = ATTRIBUTE.size + len(content)
    return ATTRIBUTE.pack(length, kind) + content + bytes(aligned(length) - length)


def aligned(length: int) -> int:
    return length + 3 & ~3
