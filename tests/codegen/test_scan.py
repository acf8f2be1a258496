"""Running sums and products against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.codegen.kernel import INPUT, OUTPUT, Buffer, contiguous
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import loops
from mnn.errors import CodegenError
from tests.codegen.imaging import emit_all
from tests.codegen.programs import shapes, small_numbers, views
from tests.codegen.running import Runner, filled, run

X86 = ("avx512", "avx2", "sse2")
DTYPES = [("float32", "float32"), ("float64", "float64"), ("int32", "int32"), ("int8", "int64")]


def meaning(x: Any, kind: str, result: str, axis: int, exclusive: bool, reverse: bool) -> Any:
    """Return the scan as NumPy does it."""
    x = x.astype(result)
    x = np.flip(x, axis) if reverse else x
    found = (np.cumsum if kind == "sum" else np.cumprod)(x, axis, dtype=result)
    if exclusive:
        found = np.roll(found, 1, axis)
        first = [slice(None)] * x.ndim
        first[axis] = slice(0, 1)
        found[tuple(first)] = kind == "prod"
    return np.flip(found, axis) if reverse else found


@pytest.mark.parametrize("target", X86)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_scans(target: str, data: Any) -> None:
    shape = data.draw(shapes().filter(len))
    source, result = data.draw(st.sampled_from(DTYPES))
    kind = data.draw(st.sampled_from(["sum", "sum", "prod"]))
    axis = data.draw(st.integers(0, len(shape) - 1))
    exclusive, reverse = data.draw(st.booleans()), data.draw(st.booleans())
    x = data.draw(views(shape, source))
    out = data.draw(views(shape, result, OUTPUT))
    array = small_numbers(1, x)
    if kind == "prod" and source.startswith("float"):
        array = np.where(array > 0, 1, -1).astype(source)
    calls = loops.lower_scan(
        kind, x, out, TARGETS[target], axis=axis, exclusive=exclusive, reverse=reverse
    )
    chunk = data.draw(st.sampled_from([0, 1]))
    if not calls:
        assert out.size == 0
        return
    (got,) = run(calls, [(x, array)], [out], target=TARGETS[target], chunk=chunk)
    with np.errstate(over="ignore"):
        wanted = meaning(array, kind, result, axis, exclusive, reverse)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("axis", [0, 1])
def test_scan_in_place(axis: int) -> None:
    x = np.random.default_rng(0).standard_normal((37, 45), np.float32)
    tensor = filled(x)
    calls = loops.lower_scan("sum", tensor, tensor, TARGETS["avx2"], axis=axis)
    runner = Runner(calls, TARGETS["avx2"])
    runner.write(tensor, x)
    runner.run()
    np.testing.assert_allclose(runner.view(tensor), np.cumsum(x, axis, np.float64), atol=1e-5)


def test_long_sums_are_as_exact_as_numpy() -> None:
    x = np.random.default_rng(0).random(1 << 20, np.float32)
    tensor = filled(x)
    out = contiguous(Buffer(x.nbytes, OUTPUT), x.shape, x.dtype)
    (got,) = run(
        loops.lower_scan("sum", tensor, out, TARGETS["avx2"], axis=0), [(tensor, x)], [out]
    )
    truth = np.cumsum(x, dtype=np.float64)
    assert np.max(np.abs(got - truth) / truth) <= np.max(np.abs(np.cumsum(x) - truth) / truth)


def test_what_scans_do_not_take() -> None:
    x = contiguous(Buffer(16, INPUT), (4,), np.dtype(np.float32))
    with pytest.raises(CodegenError, match="max"):
        loops.lower_scan("max", x, x, TARGETS["avx2"], axis=0)
    with pytest.raises(CodegenError, match="axis 1"):
        loops.lower_scan("sum", x, x, TARGETS["avx2"], axis=1)


def test_emits_for_neon() -> None:
    x = contiguous(Buffer(16, INPUT), (4,), np.dtype(np.float32))
    assert emit_all(loops.lower_scan("sum", x, x, TARGETS["neon"], axis=0), "neon") > 0
