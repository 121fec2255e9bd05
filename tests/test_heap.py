"""What the C library's heap does not need any more is the system's again. In a process of its own: the heap is one."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import resource
from logwarden import heap

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

heap.give_back()
held = [bytes(16_000) for _ in range(2_000)]  # 32 MB, each too small to be mapped by itself
full = resident()
del held[:-1]  # and the last one keeps the heap's end
heap.trim()
print(full - resident())
"""


def test_what_lies_free_below_something_in_use_is_given_back() -> None:
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    assert int(found.stdout) > 24_000_000
