"""Data for other array libraries, by the DLPack protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnn.expr.var import Var

__all__ = ["dlpack"]


def dlpack(
    var: Var,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """Return a DLPack capsule of the elements; it keeps the memory alive.

    Args:
        var: computed now if it is recorded; a copy is exported then.
        stream: None: there are no streams on the CPU.
        max_version: newest DLPack version that the caller understands.
        dl_device: None, or the CPU, `(1, 0)`.
        copy: True: export a copy. False: export the memory itself, or fail.

    Raises:
        ValueError: a stream.    BufferError: another device, or a copy is needed but forbidden.
    """
    if stream is not None:
        raise ValueError(f"__dlpack__: stream is {stream!r}, expected None for CPU memory.")
    if copy is False and var._ref is not None and var._ref.node.cell is None:
        raise BufferError("__dlpack__: the result of a recorded graph can only be copied.")
    array = var.read()
    return array.__dlpack__(max_version=max_version, dl_device=dl_device, copy=copy)
