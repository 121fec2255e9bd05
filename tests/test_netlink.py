"""What is read from a netlink socket ends, whatever comes. The kernel's part is played by the other end of a pair."""

from __future__ import annotations

import contextlib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.firewall import netlink
from logwarden.firewall.netlink import GENERIC, MESSAGE

DONE = MESSAGE.pack(20, 3, 2, 0, 0) + bytes(4)


def entry(content: bytes = b"") -> bytes:
    length = MESSAGE.size + GENERIC.size + len(content)
    return MESSAGE.pack(length, 0x100, 2, 0, 0) + GENERIC.pack(2, 0, 0) + content + bytes(-length % 4)


def answered(*datagrams: bytes) -> list[bytes]:
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, kernels:
        ours.setblocking(False)
        for datagram in datagrams:
            kernels.send(datagram)
        try:
            return [message for _, message in netlink.messages(ours)]
        except BlockingIOError:
            pytest.fail("waits for what does not come")


def test_a_dump_ends_where_the_kernel_says_so_even_behind_an_entry() -> None:
    """Or each would wait for the socket's timeout."""
    assert answered(entry(b"abc") + entry(), entry() + DONE) == [entry(b"abc")[:-1], entry(), entry()]


@pytest.mark.parametrize("length", [0, 15, 100])
def test_a_message_that_is_shorter_than_its_header_or_longer_than_what_came_is_an_error(length: int) -> None:
    with pytest.raises(OSError, match="Bad message"):
        answered(MESSAGE.pack(length, 0x100, 2, 0, 0) + bytes(8))


@given(st.lists(st.one_of(st.binary(min_size=1), st.just(entry(b"abc"))), max_size=4))
def test_whatever_comes_is_read_to_an_end(datagrams: list[bytes]) -> None:
    with contextlib.suppress(OSError):
        assert all(len(message) >= MESSAGE.size for message in answered(*datagrams, DONE))


@given(st.binary())
def test_whatever_stands_in_an_entry_has_an_end(content: bytes) -> None:
    found = b"".join(each for _, each in netlink.attributes(content))
    assert content.startswith(found)
