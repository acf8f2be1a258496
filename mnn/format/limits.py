"""Limits of the `.mnn` reader: what it promises whatever the bytes are.

* Only the documented errors are raised: `FormatError`, and `OSError` for the file itself.
* Structure is verified before any field is read; every offset stays inside the file.
* Time is proportional to the file's size; memory to the file's size plus what its weights expand
  to, and expansion beyond these limits is refused before it is allocated.
* No network, no subprocess, no code from the file.
"""

from __future__ import annotations

from mnn.records import dataclass

__all__ = ["LIMITS", "Limits"]


@dataclass(frozen=True)
class Limits:
    """Numbers that bound the reader.

    Attributes:
        file_bytes: largest file (offsets are 32-bit).
        tables: most tables in one file.
        depth: deepest nesting of tables.
        tensors: most tensors of one graph.
        operators: most operators of one graph.
        rank: most dimensions of a tensor.
        string_bytes: longest string.
        expansion: weights may decode to this many times the bytes that describe them...
        expansion_bytes: ...or to this many bytes, whichever is more.
        nested_bodies: deepest nesting of control-flow bodies.
    """

    file_bytes: int = 2**32 - 1
    tables: int = 1_000_000
    depth: int = 64
    tensors: int = 1_000_000
    operators: int = 500_000
    rank: int = 32
    string_bytes: int = 1 << 24
    expansion: int = 64
    expansion_bytes: int = 1 << 24
    nested_bodies: int = 16


LIMITS = Limits()
