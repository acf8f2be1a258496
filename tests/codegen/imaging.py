"""Images for tests of convolution and pooling kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.codegen.emission import Emitter
from mnn.codegen.kernel import INPUT, OUTPUT, Buffer, Call, Tensor, contiguous
from mnn.codegen.target import TARGETS
from tests.codegen.running import Array, filled

RUNNABLE = ("avx512", "avx2", "sse2")
"""Descriptions of this machine or lesser ones."""

_LAST = {3: (0, 2, 1), 4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}


def channels_last(array: Array, kind: str = INPUT) -> Tensor:
    """Return a tensor of logical shape (samples, channels, ...) whose channels are neighbours."""
    return filled(array, kind, _LAST[array.ndim])


def result(shape: Sequence[int], dtype: Any = np.float32, *, last: bool = True) -> Tensor:
    """Return a tensor to be filled, channels last or first."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    return contiguous(Buffer(size, OUTPUT), shape, dtype, _LAST[len(shape)] if last else None)


def emit_all(calls: Sequence[Call], name: str) -> int:
    """Emit the kernels of calls for a target that need not be this machine; return bytes."""
    target = TARGETS[name]
    emitter = Emitter(triple=target.triple, cpu=target.cpu, features=target.features)
    texts = {each.kernel: each.kernel.build(target).text() for each in calls}
    return sum(len(emitter.emit(text)[0]) for text in texts.values())
