"""BLAKE2b, by which content is known again.

Owns: where it comes from. `hashlib` has it too, and loads OpenSSL's libcrypto beside it: 3 MB and 3 ms of a start.
"""

try:
    from _blake2 import blake2b  # CPython's own, which hashlib passes on
except ImportError:
    from hashlib import blake2b

__all__ = ["blake2b"]
