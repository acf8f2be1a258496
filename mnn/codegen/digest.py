"""Digests of 32 bytes, by a part of the interpreter that is loaded in no time.

`hashlib` would load the system's cryptography library first, which takes 2 ms of a warm start.
"""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # an interpreter that is built in another way
    from hashlib import blake2b

__all__ = ["SIZE", "digest_of", "new_digest"]

SIZE = 32
"""Bytes of a digest."""


def new_digest(content: bytes = b"") -> blake2b:
    """Return a digest that has `update`, `copy` and `digest`, as the objects of `hashlib`."""
    return blake2b(content, digest_size=SIZE)


def digest_of(content: bytes) -> bytes:
    """Return the digest of all bytes."""
    return blake2b(content, digest_size=SIZE).digest()
