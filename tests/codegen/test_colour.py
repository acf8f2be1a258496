"""Grey values against the NumPy reference, on every target this machine runs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from mnn.codegen.kernel import OUTPUT, Buffer, contiguous
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import colour
from mnn.errors import CodegenError
from mnn.ops.reference.picture import GRAY_FLOATS, GRAY_WEIGHTS, convert_color
from mnn.records import replace
from tests.codegen.imaging import RUNNABLE, emit_all
from tests.codegen.running import Array, filled, run

SIZES = [(1, 1), (3, 5), (2, 16), (5, 17), (7, 131), (1, 5000)]


def weights(dtype: str, order: str = "BGR") -> list[float]:
    """Return the weights of colours in an order."""
    known = GRAY_FLOATS if dtype == "float32" else GRAY_WEIGHTS
    return [known[each] for each in order]


def pixels(shape: Any, dtype: str) -> Array:
    """Return random pixels, some of them as light as can be."""
    rng = np.random.default_rng(0)
    if dtype == "float32":
        return rng.standard_normal(shape).astype(dtype)
    found = rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    found[0, 0] = np.iinfo(dtype).max
    return found


def check(x: Array, view: Any, expected: Array, target: str, order: Any = None) -> None:
    """Compare grey values of a view of x."""
    dtype = x.dtype.name
    plain = filled(x, order=order)
    out = contiguous(Buffer(expected.nbytes, OUTPUT), expected.shape, x.dtype)
    calls = colour.lower_grey(view(plain), out, TARGETS[target], weights=weights(dtype))
    for chunk in (0, 1):
        (found,) = run(calls, [(plain, x)], [out], target=TARGETS[target], chunk=chunk)
        if dtype == "float32":
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("order", [None, (2, 0, 1), (1, 0, 2)])
def test_colours_anywhere(target: str, dtype: str, order: Any) -> None:
    for size in SIZES:
        x = pixels((*size, 3), dtype)
        check(x, lambda plain: plain, convert_color(x, code=6), target, order)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_parts_of_pixels(target: str, dtype: str) -> None:
    for size in SIZES:
        x = pixels((*size, 4), dtype)
        for first in (0, 1):
            part = partial(replace, shape=(*size, 3), offset=first)
            check(x, part, convert_color(x[..., first : first + 3].copy(), code=6), target)
        steps = (size[1] * 4, 4, -1)
        part = partial(replace, shape=(*size, 3), strides=steps, offset=2)
        check(x, part, convert_color(x[..., 2::-1].copy(), code=6), target)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_code_for_arm(dtype: str) -> None:
    out = contiguous(Buffer(4 * 99, OUTPUT), (9, 11), np.dtype(dtype))
    source = filled(pixels((9, 11, 3), dtype))
    calls = colour.lower_grey(source, out, TARGETS["neon"], weights=weights(dtype))
    assert emit_all(calls, "neon") > 0


def test_refusals() -> None:
    out = contiguous(Buffer(4 * 99, OUTPUT), (9, 11), np.dtype(np.uint8))
    for x in (pixels((9, 11, 4), "uint8"), pixels((9, 11, 3), "uint16")):
        with pytest.raises(CodegenError, match="expected three colours"):
            colour.lower_grey(filled(x), out, TARGETS["avx512"], weights=weights("uint8"))
