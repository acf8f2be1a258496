"""bfloat16, the type of `ml_dtypes`, as an element type."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn import config, expr
from mnn.errors import DTypeError, FormatError
from mnn.expr.grad import gradients
from mnn.expr.var import Var
from mnn.ops.bfloat16 import MOVES
from mnn.ops.spec import all_specs

ml_dtypes = pytest.importorskip("ml_dtypes")

Array = np.ndarray[Any, Any]
HALF = np.dtype(ml_dtypes.bfloat16)
OTHERS = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
SPECIAL = np.array(
    [0.0, -0.0, 1.5, -2.25, np.inf, -np.inf, np.nan, 3.4e38, 1e-40, 257, 1.00390625], np.float32
)


def rounded(number: float) -> float:
    """The nearest bfloat16 of a finite number, of two the even one: found among all of them."""
    bits = np.arange(0x7F80, dtype=np.uint16)
    every = bits.view(HALF).astype(np.float64)
    place = int(np.searchsorted(every, abs(number)))
    below = max(place - 1, 0)
    limit = 2.0**128
    above = limit if place == len(every) else every[place]
    down, up = abs(number) - every[below], above - abs(number)
    # Beyond the largest, the next place is taken by infinity; the largest one has an odd code.
    chosen = below if down < up or (down == up and below % 2 == 0) else place
    found = np.inf if chosen == len(every) else every[chosen]
    return float(np.copysign(found, number))


def equal(found: Any, wanted: Array) -> None:
    """Assert that a result has the dtype, shape and values that were computed by other means."""
    have = np.asarray(found)
    assert (have.dtype, have.shape) == (wanted.dtype, wanted.shape)
    if wanted.dtype == HALF:
        have, wanted = have.astype(np.float32), wanted.astype(np.float32)
    np.testing.assert_array_equal(have, wanted)
    if wanted.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(have[have == 0]), np.signbit(wanted[have == 0]))


def halves(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(HALF)


def test_the_package_is_not_imported_before_it_is_used() -> None:
    code = (
        "import sys, mnn, mnn.numpy as np; np.exp(np.ones(3)).sum().item();"
        "assert 'ml_dtypes' not in sys.modules; np.bfloat16; assert 'ml_dtypes' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- the type ------------------------------------------------------------------------------------


def test_the_name_is_the_scalar_type() -> None:
    assert mnp.bfloat16 is ml_dtypes.bfloat16
    assert mnp.dtype(mnp.bfloat16) == HALF
    for each in ("bfloat16", mnp.bfloat16, HALF):
        assert mnp.zeros(2, each).dtype == HALF


def test_questions_about_the_type() -> None:
    assert float(mnp.finfo(mnp.bfloat16).eps) == 2.0**-7
    assert float(mnp.finfo(mnp.zeros(2, HALF)).max) == float.fromhex("0x1.fep127")
    assert mnp.can_cast(HALF, "float32")
    assert not mnp.can_cast("float32", HALF)
    assert mnp.isdtype(HALF, "real floating")
    assert mnp.isdtype(mnp.bfloat16, ("integral", "numeric"))
    assert mnp.isdtype(HALF, (mnp.float32, mnp.bfloat16))
    assert not mnp.isdtype(HALF, ("integral", mnp.float32))
    assert not mnp.isdtype(mnp.float32, mnp.bfloat16)
    assert mnp.isdtype(mnp.float32, (mnp.bfloat16, "real floating"))
    with pytest.raises(ValueError, match="kind"):
        mnp.isdtype(HALF, "text")
    info = mnp.__array_namespace_info__()
    assert "bfloat16" not in info.dtypes()


@pytest.mark.parametrize(
    ("other", "wanted"),
    [
        ("bool", "bfloat16"),
        ("int8", "bfloat16"),
        ("uint8", "bfloat16"),
        ("bfloat16", "bfloat16"),
        ("int16", "float32"),
        ("float16", "float32"),
        ("float32", "float32"),
        ("int32", "float64"),
        ("float64", "float64"),
        ("complex64", "complex64"),
    ],
)
def test_promotion(other: str, wanted: str) -> None:
    assert mnp.promote_types("bfloat16", other) == np.dtype(wanted)
    x, y = mnp.ones(3, "bfloat16"), mnp.ones(3, other)
    assert mnp.result_type(x, y) == np.dtype(wanted)
    for found in (x * y, y + x, mnp.where(x > 0, y, x), mnp.concatenate([x, y])):
        assert found.dtype == np.dtype(wanted)


def test_python_numbers_are_weak() -> None:
    x = mnp.array([1.5, 2], HALF)
    assert (x * 2).dtype == (x + 0.1).dtype == (1 / x).dtype == HALF
    assert (x + 1j).dtype == np.complex64
    assert mnp.result_type(x, 1.0) == HALF
    equal(x == 1.5, np.array([True, False]))


def test_other_types_of_the_package_and_records_are_refused() -> None:
    eighths = (np.zeros(2, ml_dtypes.float8_e5m2), np.zeros(2, ml_dtypes.float8_e4m3fn))
    for array in (np.zeros(2, [("a", "f4")]), np.zeros(2, "V2"), *eighths):
        with pytest.raises(DTypeError):
            mnp.array(array)
        with pytest.raises(DTypeError):
            mnp.zeros(2, array.dtype)


# --- making and converting -----------------------------------------------------------------------


def test_creation() -> None:
    source = halves(3, 4)
    equal(mnp.array(source), source)
    equal(mnp.asarray(source), source)
    equal(mnp.array([mnp.bfloat16(1), mnp.bfloat16(2)]), np.array([1, 2], HALF))
    for name in ("zeros", "ones", "empty"):
        make = getattr(np, "zeros" if name == "empty" else name)
        equal(getattr(mnp, name)((2, 3), HALF), make((2, 3), HALF))
        equal(getattr(mnp, f"{name}_like")(mnp.array(source)), make((3, 4), HALF))
    equal(mnp.full(3, 2.5, HALF), np.full(3, 2.5, HALF))
    equal(mnp.full_like(mnp.array(source), 7), np.full((3, 4), 7, HALF))
    equal(mnp.arange(5, dtype=HALF), np.arange(5).astype(HALF))
    equal(mnp.eye(3, dtype=HALF), np.eye(3).astype(HALF))


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("way", ["now", "compiled", "lazy"])
def test_conversion_both_ways(other: str, way: str) -> None:
    with np.errstate(all="ignore"):
        finite = SPECIAL if np.dtype(other).kind in "fc" else np.array([0, 1, 100, 7.5, 0.25])
        numbers = finite.astype(other)
        through = numbers.real.astype(np.float32)
        wanted = through.astype(HALF)

        def there(x: Var) -> Var:
            return x.astype("bfloat16")

        def back(x: Var) -> Var:
            return x.astype(other)

        if way == "compiled":
            there, back = mnp.compile(there), mnp.compile(back)
        config.lazy = way == "lazy"
        try:
            equal(there(mnp.array(numbers)), wanted)
            equal(back(mnp.array(wanted)), wanted.astype(np.float32).astype(other))
        finally:
            config.lazy = False


def test_every_number_survives_float32() -> None:
    every = np.arange(65536, dtype=np.uint16).view(HALF)
    wide = mnp.array(every).astype(mnp.float32)
    equal(wide, every.astype(np.float32))
    equal(wide.astype(HALF), every)


FINITE = float(ml_dtypes.finfo(HALF).max)


@given(
    st.floats(-FINITE, FINITE, allow_nan=False)
    | st.builds(
        lambda code, step: float(np.uint16(code).view(HALF)) * (1 + 2.0**-8) * (1 + step),
        st.integers(0x0080, 0x7F00),
        st.sampled_from([0.0, 2.0**-45, -(2.0**-45)]),
    )
)
@settings(deadline=None)
def test_doubles_are_rounded_once(number: float) -> None:
    found = Var(np.array([number, -number])).astype(HALF)
    assert found.tolist() == [rounded(number), rounded(-number)]


@given(st.integers(-(2**63), 2**63 - 1) | st.integers(8, 62).map(lambda e: 2**e + 2 ** (e - 8) + 1))
@settings(deadline=None)
def test_large_integers_are_rounded_once(number: int) -> None:
    found = int(Var(np.array(number)).astype(HALF).astype(mnp.float64).item())
    spacing = 2 ** max(abs(number).bit_length() - 8, 0)
    assert found % spacing == 0
    assert 2 * abs(found - number) <= spacing


def test_unsigned_integers_are_rounded_once() -> None:
    found = Var(np.array([2**63 + 2**55 + 1, 2**63 + 2**55, 2**64 - 1], np.uint64)).astype(HALF)
    assert found.tolist() == [float(2**63 + 2**56), 2.0**63, 2.0**64]


def test_a_waiting_result_is_converted() -> None:
    source = np.random.default_rng(1).standard_normal((300, 400)).astype(np.float32)
    waiting = Var(source) * 2 + 1
    equal(waiting.astype(HALF), (source * 2 + 1).astype(HALF))
    equal(waiting.astype(HALF).astype(mnp.float32)[3:], (source * 2 + 1).astype(HALF)[3:] * 1.0)


# --- moving --------------------------------------------------------------------------------------

MOVING = {
    "reshape": lambda n, x: n.reshape(x, (4, 3)),
    "transpose": lambda n, x: n.transpose(x),
    "slice": lambda n, x: x[1:, ::-2],
    "rows": lambda n, x: x[n.array([2, 0])],
    "mask": lambda n, x: x[x > 0],
    "concatenate": lambda n, x: n.concatenate([x, x], 1),
    "stack": lambda n, x: n.stack([x, x]),
    "where": lambda n, x: n.where(x > 0, x, n.flip(x)),
    "take": lambda n, x: n.take(x, n.array([0, 3]), 1),
    "repeat": lambda n, x: n.repeat(x, 2, 0),
    "tile": lambda n, x: n.tile(x, (2, 1)),
    "roll": lambda n, x: n.roll(x, 1),
    "pad": lambda n, x: n.pad(x, 1),
    "broadcast_to": lambda n, x: n.broadcast_to(x, (2, 3, 4)),
    "sort": lambda n, x: n.sort(x, 0),
    "max": lambda n, x: n.max(x, 1),
    "copy": lambda n, x: n.copy(x),
}


@pytest.mark.parametrize("name", MOVING)
def test_moving(name: str) -> None:
    move, source = MOVING[name], halves(3, 4)
    wanted = move(np, source)
    equal(move(mnp, mnp.array(source)), wanted)
    if name != "mask":
        equal(mnp.compile(lambda x: move(mnp, x))(mnp.array(source)), wanted)


def test_views_share_memory() -> None:
    x = mnp.array(halves(3, 4))
    view, turned = x[1], x.T
    view[...] = 5
    assert x[1].tolist() == [5.0] * 4
    turned[0, 0] = 7.3
    assert x[0, 0].item() == 7.3125
    assert x.view(mnp.uint16)[1].tolist() == [0x40A0] * 4


def test_assignment() -> None:
    x = mnp.zeros(5, HALF)
    x[0], x[1:3], x[3] = 1.5, mnp.array([1.0, 2.0]), np.float64(-3)
    x[4:] = mnp.array([4.0], HALF)
    assert x.tolist() == [1.5, 1.0, 2.0, -3.0, 4.0]
    x += 1
    x *= x
    assert x.dtype == HALF
    assert x.tolist() == [6.25, 4.0, 9.0, 4.0, 25.0]
    with pytest.raises(DTypeError):
        x[0] = 1j


def test_recorded_assignment_and_writing() -> None:
    config.lazy = True
    try:
        x = mnp.array(halves(3)) * 1
        x[1] = 2.5
        assert (x.dtype, x[1].item()) == (HALF, 2.5)
        entry = expr.placeholder([3], expr.NCHW, HALF)
        result = entry + 1
        entry.write(np.array([1, 2, 3], np.float32))
        assert result.dtype == HALF
        assert result.tolist() == [2.0, 3.0, 4.0]
        with pytest.raises(DTypeError, match="float32"):
            expr.save([result], "unused.mnn")
    finally:
        config.lazy = False


def test_python_and_text() -> None:
    x = mnp.array([1.5, -2.0, 0.25], HALF)
    assert x.tolist() == [1.5, -2.0, 0.25]
    assert (x[0].item(), float(x[1]), int(x[1]), bool(x[2])) == (1.5, -2.0, -2, True)
    assert str(x) == "[1.5 -2 0.25]"
    assert "bfloat16" in repr(x)
    assert f"{x[0]:.3f}" == "1.500"
    assert (x.itemsize, x.nbytes) == (2, 6)
    for each in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        equal(each, np.asarray(x))
    with pytest.raises(BufferError, match="DLPack"):
        x.__dlpack__()


def test_files(tmp_path: Path) -> None:
    """The format has no name for the type: two bytes without meaning are taken for it."""
    source = halves(3, 4)
    mnp.save(tmp_path / "one.npy", mnp.array(source))
    equal(mnp.load(tmp_path / "one.npy"), source)
    equal(Var(np.load(tmp_path / "one.npy").view(HALF)), source)
    mnp.savez(tmp_path / "two.npz", x=mnp.array(source))
    with mnp.load(tmp_path / "two.npz") as found:
        equal(found["x"], source)
    np.save(tmp_path / "other.npy", np.zeros(2, "V3"))
    with pytest.raises(FormatError, match="numbers"):
        mnp.load(tmp_path / "other.npy")
    equal(mnp.frombuffer(source.tobytes(), dtype=HALF), source.ravel())


# --- computing -----------------------------------------------------------------------------------

COMPUTING = {
    "add": lambda n, x, y: x + y,
    "chain": lambda n, x, y: n.exp(x) / (n.abs(y) + 1),
    "sum": lambda n, x, y: n.sum(x, 1),
    "mean": lambda n, x, y: n.mean(x),
    "std": lambda n, x, y: n.std(x, 0),
    "cumsum": lambda n, x, y: n.cumsum(x, 1),
    "matmul": lambda n, x, y: x @ y.T,
    "einsum": lambda n, x, y: n.einsum("ij,ij->i", x, y),
    "maximum": lambda n, x, y: n.maximum(x, y),
    "norm": lambda n, x, y: n.linalg.norm(x),
}


@pytest.mark.parametrize("name", COMPUTING)
@pytest.mark.parametrize("compiled", [False, True])
def test_computing_in_float32(name: str, compiled: bool) -> None:
    """Each step is computed in float32 and rounded: within a few steps of float32's result."""
    x, y = halves(5, 300), halves(5, 300, seed=1)
    compute = COMPUTING[name]
    wanted = compute(np, x.astype(np.float32), y.astype(np.float32))

    def run(a: Var, b: Var) -> Var:
        return compute(mnp, a, b)  # type: ignore[no-any-return]

    found = (mnp.compile(run) if compiled else run)(mnp.array(x), mnp.array(y))
    assert found.dtype == HALF
    close = np.asarray(found).astype(np.float32)
    size = np.abs(wanted).max()
    np.testing.assert_allclose(close, wanted, rtol=2.0**-6, atol=2.0**-7 * size)


@pytest.mark.parametrize("operator", ["add", "multiply", "divide", "power", "logaddexp", "arctan2"])
def test_one_operation_is_rounded_once(operator: str) -> None:
    x, y = np.abs(halves(100)), halves(100, seed=1)
    with np.errstate(all="ignore"):
        wide = getattr(np, operator)(x.astype(np.float32), y.astype(np.float32))
    equal(getattr(mnp, operator)(mnp.array(x), mnp.array(y)), wide.astype(HALF))


def test_sums_do_not_stop_growing() -> None:
    """In bfloat16, 256 + 1 is 256."""
    ones = mnp.ones(1000, HALF)
    for total in (ones.sum(), ones @ ones, mnp.cumsum(ones)[-1], mnp.nansum(ones)):
        assert total.dtype == HALF
        assert total.item() == 1000
    assert ones.sum(dtype=mnp.float32).dtype == np.float32


def test_wider_operands_and_types_asked_for() -> None:
    x = mnp.array(halves(4))
    assert (x + mnp.ones(4)).dtype == np.float32
    assert mnp.add(x, x, dtype=mnp.float32).dtype == np.float32
    assert mnp.sum(mnp.arange(5), dtype=HALF).dtype == HALF
    assert mnp.argmax(x).dtype == np.int32
    assert (x < 0).dtype == mnp.isnan(x).dtype == np.bool_
    assert mnp.linalg.inv(mnp.eye(2, dtype=HALF)).dtype == np.float32
    with pytest.raises(DTypeError, match="integers"):
        _ = x & x


def test_gradients() -> None:
    p = mnp.array([1.0, 2.0, 3.0])
    p.fix_as_trainable()
    half = mnp.concatenate([p.astype(HALF), mnp.array([1.0], HALF)])
    loss = mnp.sum((half * half)[:3].astype(mnp.float32))
    (found,) = gradients([loss], [mnp.ones_like(loss)], [p])
    assert found is not None
    equal(found, np.array([2, 4, 6], np.float32))


def test_the_operators_that_move_exist() -> None:
    assert {each.name for each in all_specs()} >= MOVES
