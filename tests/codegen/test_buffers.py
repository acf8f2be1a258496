"""Buffers: constants lie in memory in C order, whatever made them."""

from __future__ import annotations

import numpy as np

from mnn.codegen.kernel import CONSTANT, Buffer


def test_constants_are_contiguous() -> None:
    content = np.arange(12, dtype=np.float32).reshape(3, 4)
    buffer = Buffer(content.nbytes, CONSTANT, make=lambda: content.T)
    assert buffer.array.flags.c_contiguous
    np.testing.assert_array_equal(buffer.array, content.T)
