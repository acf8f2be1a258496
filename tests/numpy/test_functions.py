"""Functions of `mnn.numpy` give NumPy's results: odd shapes and types, every argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mnn.numpy as mnp
from mnn.errors import DTypeError, NumberRangeError, ShapeError
from mnn.expr.var import Var
from tests.numpy.agreement import agree, same_as_numpy

RANDOM = np.random.default_rng(0)
MATRICES = {
    name: (RANDOM.uniform(-4, 4, (3, 4)) * scale).astype(name)
    for name, scale in {"f4": 1, "f8": 1, "f2": 1, "i4": 9, "i8": 9, "i1": 9, "?": 1}.items()
}
MATRICES["u1"] = RANDOM.integers(0, 60, (3, 4), dtype=np.uint8)
A, I, U, B = (MATRICES[name] for name in ("f4", "i4", "u1", "?"))  # noqa: E741 - as in formulas
T = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
NAN = np.array([[1, np.nan, 2], [1, 2, 3]], np.float32)

ONE_ARRAY = """
    abs arcsinh arctan argsort around atleast_1d atleast_2d atleast_3d cbrt ceil copy cos cosh
    count_nonzero cumprod cumsum deg2rad exp expm1 fabs fix flatnonzero flip floor isfinite
    isinf isnan log1p log2 logical_not median negative ones_like positive prod ptp rad2deg ravel
    reciprocal rint round sign sin sort sqrt square squeeze std sum tanh trace transpose tril
    triu trunc unique var zeros_like all any max min mean argmax argmin average diff nonzero
    argwhere
""".split()  # noqa: SIM905 - reads better
REDUCTIONS = """
    all any max min mean median prod ptp std sum var argmax argmin count_nonzero
""".split()  # noqa: SIM905 - reads better


def _shapes(array: np.ndarray[Any, Any]) -> list[Any]:
    empty = [array[:0], array[:, :0], array[0, :0]]
    return [array, array[0], array[0, 0], array.T[::-1], np.stack([array, array], 1), *empty]


@pytest.mark.parametrize("name", ONE_ARRAY)
@pytest.mark.filterwarnings("ignore:Mean of empty", "ignore:Degrees of freedom")
def test_one_array(name: str) -> None:
    for matrix in MATRICES.values():
        for array in _shapes(matrix):
            if name == "argmin" and not array.size:
                continue
            same_as_numpy(getattr(mnp, name), getattr(np, name), np.asarray(array))


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.filterwarnings("ignore:Mean of empty", "ignore:Degrees of freedom")
def test_axes(name: str, keepdims: bool) -> None:
    axes = [0, 1, -1, None, 2, -3, np.int64(1), 0.5]
    if not name.startswith("arg"):
        axes += [(0, 1), (0, 0)]
    for array in (A, I, U, B, T, A[:0], A[:, :0]):
        for axis in axes:
            options = {"axis": axis, "keepdims": keepdims}
            same_as_numpy(getattr(mnp, name), getattr(np, name), array, **options)


CALLS: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {}


def _calls(name: str, *calls: Any) -> None:
    """Note arguments of a function: tuples, the last element of which may be a dict of options."""
    for each in calls:
        arguments = each if isinstance(each, tuple) else (each,)
        options = {}
        if arguments and isinstance(arguments[-1], dict):
            *arguments, options = arguments
        CALLS.setdefault(name, []).append((tuple(arguments), options))


_calls("zeros", 3, ((),), ((2, 3),), ([2, 0],), np.int64(3), -1, 2.0, (2, int), (2, "f8", "F"))
_calls("ones", (2, bool), ((2,), "nonsense"), ((2, 2), None, "X"), (2, {"dtype": complex}))
_calls("full", (3, 1), (3, 1.5), ((2, 2), [1, 2]), (3, 2**40), (3, 300, "u1"), (2, 1.7, int))
_calls("full_like", (U, 300), (U, 1.5), (I, 1.5), (A, 2, {"shape": (1, 2)}), (A, [1, 2, 3, 4]))
_calls("zeros_like", (A, "i4"), (A, None, "C", True, (2,)), (A, {"shape": 3}))
_calls("arange", 5, (2, 5), (5, 0, -2), (0, 1, 0.25), 0, (1, 1), (1, 2, 0), 2**40 - 1 - 2**40)
_calls("arange", (3, {"dtype": "u1"}), "a", (0, 10, np.float64(2.5)), (np.int64(2), 5))
_calls("linspace", (1, 10, 5), (1, 10, 1), (1, 10, 0), (1, 10, -1), (-1, -100, 3, True, False, int))
_calls("linspace", (0, 1, 5, {"retstep": True}), (0, 1, 5, {"endpoint": False}))
_calls("linspace", (np.zeros(2), np.ones(2), 3, {"axis": 1}), (0, 1, 4, True, False, "f8"))
_calls("logspace", (0, 3, 4), (0, 3, 4, {"base": 2}), (np.zeros(2), np.ones(2), 3, {"axis": 1}))
_calls("geomspace", (1, 1000, 4), (-1, -100, 3), (np.ones(2), np.ones(2) * 4, 3, {"axis": -1}))
_calls("eye", 3, (3, 4, -2), (3, None, 1, int), 0, 2.5)
_calls("tri", (3, 4, 1), (2, 3))
_calls("array", ([1, 2.5],), ([True, False],), ([],), ([[1], [2, 3]],), (2**40,))
_calls(
    "array",
    ([2**31, 1],),
    ([1, 2], "f8"),
    (A, {"ndmin": 4}),
    ([300], {"dtype": "u1"}),
    ([1.7, 2], {"dtype": "u1"}),
)
_calls("frombuffer", (bytes(16), "i4", 2, 4), (bytes(15), "f4"), (bytes(8), "i4", 5), (b"", "u1"))
_calls("fromfunction", (lambda x, y: x * y + 1, (2, 3)), (lambda x: x, (3,), {"dtype": int}))
_calls("indices", ((2, 3),), ((2, 3), {"sparse": True}), ((),))
_calls("meshgrid", (A[0], U[0]), (A[0], U[0], {"indexing": "ij"}), (A[0], {"indexing": "zz"}), ())
_calls("meshgrid", (A[0], U[0], {"sparse": True}), (A[0], U[0], {"copy": False}))
_calls("diag", (A[0],), (A[0], -1), (A, 1), (A, -5), (T,), (A[:0],))
_calls("tril", (A[0],), (T, 1), (A, -1), (np.float32(1),))
_calls("trace", (T, 1, 0, 2), (A, {"axis1": 1, "axis2": 0}), (A, {"dtype": "f8"}), (A[0],), (A, -7))
_calls("reshape", (A, (4, 3)), (A, -1), (A, (2, -1), "F"), (A, (5,)), (A[:0], (-1, 0)), (A, "a"))
_calls("ravel", (A.T, "F"), (A.T, "C"), (A, "X"))
_calls("transpose", (T, (0, 2, 1)), (T, (0, 1)), (T, (0, 0, 1)), (T, [1, 0, 2]))
_calls("expand_dims", (T, (0, 2)), (T, -5), (T, (0, 0)), (T, 1.5))
_calls("squeeze", (T[:1, :, :1], 0), (T[:1, :, :1], (0, 2)), (T, 0))
_calls("moveaxis", (T, 0, 2), (T, (0, 1), (2, 0)), (T, 0, 3), (T, (0, 1), (0,)))
_calls("swapaxes", (T, -1, 0), (T, 0, 3))
for _name in ("concatenate", "stack", "hstack", "vstack", "dstack", "column_stack"):
    _calls(_name, ([A, I],), ([U, I],), ([A[0], A[0]],), ([A, A[:1]],), ([A],), ([],), ([T, T],))
_calls("concatenate", ([A, A], None), ([A, A], {"dtype": "f8"}), ([A, A], {"dtype": "i4"}))
_calls("concatenate", ([A, A], {"dtype": "i4", "casting": "unsafe"}), ([A, A], 0.5))
_calls("stack", ([A, A], -1), ([A, A], 0.5), ([A, A], {"dtype": "f8"}))
for _name in ("split", "array_split", "hsplit", "vsplit", "dsplit"):
    for _parts in (2, 3, [1], [1, 3], [2, 2], [-1], [5], (1, 2), -1, [], [3, 1]):
        _calls(_name, (A, _parts), (T, _parts), (A[0], _parts))
_calls("tile", (A, 2), (A, (2, 1, 3)), (A, ()), (A, 0), (A, -1), (3, 2))
_calls("repeat", (A, 2), (A, [1, 2, 3], 0), (A, [1, 2], 0), (A, 0, 1), (A, -1), (A[:1], [1, 2], 0))
_calls("roll", (A, 1), (A, -2, 0), (A, (1, 2), (0, 1)), (A, (1, 2), 0), (A, 1, (0, 1)), (A, (1, 1)))
_calls("roll", (A[:0], 1, 0), (A, (1, 2, 3), (0, 1)), (A, 1, 5))
_calls("rot90", (A, 1), (A, -1), (T, 2, (1, 2)), (A[0],), (A, 1, (0, 0)), (A, 1, (0, 5)))
_calls("flip", (A, (0, 1)), (A, ()), (A, 2), (A, (0, 0)))
for _mode in ("constant", "edge", "reflect", "symmetric", "wrap", "maximum", "mean", "median"):
    for _width in (1, (1, 2), ((1, 2), (0, 1)), (1,), 0, -1, ((1, 2), (0, 1), (1, 1)), 1.5):
        _calls("pad", (A, _width, _mode), (I, _width, _mode))
_calls("pad", (A, 9, "reflect"), (A, 9, "symmetric"), (A[0], (9, 9), "wrap"), (A, 1, "bad"))
_calls("pad", (A, 1, {"constant_values": 5}), (A, 1, {"constant_values": ((1, 2), (3, 4))}))
_calls("pad", (A[:0], 1), (A[:0], 1, "edge"))
_calls("broadcast_to", (A[0], (2, 3, 4)), (A, (3, 5)), (A, (4,)), (A[0, 0], ()), (A, (-1, 4)))
_calls("broadcast_arrays", (A, A[0], A[:, :1]), (A, A[:2]), ())
_calls("append", (A, A, 0), (A, 1), (A, [1, 2]), (A, A[0], 0), (I, A))
_calls(
    "delete", (A, 1), (A, [0, 2], 1), (A, slice(None, None, 2), 1), (A, 9, 0), (A, [True] * 3, 0)
)
_calls(
    "diff", (A, 2), (A, 0), (A, -1), (B,), (A, {"prepend": 0}), (A, 1, 0, A[:1], A[:1]), (A, 1, 2)
)
_calls("take", (A, [0, 2], 0), (A, -1), (A, 99), (A, [], 1), (A, [True], 1), (A, [[0, 1]], -1))
_calls("take", (A, [5, -7], 1, {"mode": "wrap"}), (A, [5, -7], {"mode": "clip"}), (A, 0, 5))
_calls("take_along_axis", (A, np.argsort(A, 1), 1), (A, np.argsort(A, None), None), (A, A, 1))
_calls("sort", (A, 0), (A, None), (A, 2), (NAN,), (A, {"kind": "stable"}), (A, -1, "x"), (A, 0.5))
_calls("argsort", (A, 0), (A, None), (np.array([2, 1, 2, 1]),), (A, {"stable": True}))
for _options in ({"axis": 0}, {"axis": 1}, {"return_inverse": True}, {"equal_nan": False}):
    _calls("unique", (np.array([[3, 1], [3, 1], [0, 1]]), _options), (NAN, _options))
_calls("unique", (I, {"return_index": True, "return_inverse": True, "return_counts": True}))
_calls("where", (A > 0,), (A > 0, A, I), (A > 0, U, 1.5), (A > 0, A), ([1, 0], 1, 2))
for _name in ("dot", "matmul", "inner", "outer", "vdot", "tensordot"):
    for _left in (A, A[0], T, np.float32(2), I, B, A[:0], MATRICES["f8"]):
        for _right in (A.T, A, A[0], T.transpose(0, 2, 1), I.T, 3, A[:, :0]):
            if _name != "tensordot" or (np.ndim(_right) > 1 and np.ndim(_left) > 1):
                _calls(_name, (_left, _right))
_calls("tensordot", (A, A, ([0, 1], [0, 1])), (A, A, ((1,), (0,))), (A, A.T, 1), (A, A, 0))
for _options in (
    {}, {"axis": 0}, {"axis": 1, "weights": [1, 2, 3, 4]}, {"axis": 0, "weights": [0, 0, 0]},
    {"weights": [1, 2]}, {"axis": (0, 1)}, {"axis": 1, "keepdims": True},
    {"axis": 0, "returned": True}, {"axis": -1, "weights": [1, 2, 3, 4], "returned": True},
):  # fmt: skip
    _calls("average", (A, _options), (I, _options))
_calls("median", (NAN,), (NAN, 1), (T, (0, 2)), (A, {"axis": -1, "keepdims": True}), (I, 0))
_calls("std", (A, {"ddof": 1}), (A, (0, 1), {"keepdims": True}), (np.array([1j, 2]),))
_calls("var", (A, 0, {"ddof": 2}), (np.array([1j, 2]),), (I,), (A, {"dtype": "f8"}))
_calls("sum", (A, {"dtype": "u1"}), (U,), (np.full(3, 2**31 - 1),), (A, 5), ([[1, 2], [3, 4.5]], 0))
_calls(
    "clip", (A, 0, 2), (A, None, 2), (A, 2, 0), (U, -1, 300), (I, 0.5, 1.5), (A, [0, 1, 2, 3], None)
)
_calls("clip", (A, {"min": 0}), (A, {"a_min": 0, "a_max": 1}), (A, 0, {"min": 0}))
_calls("round", (A, 1), (MATRICES["i8"] * 1001, -1), (np.array([123456785]), -1), (A, 1.5), (B,))
_calls("round", (np.array([0.5, 1.5, -0.5]),))
for _name in ("isclose", "allclose", "array_equal"):
    _calls(_name, (NAN, NAN, {"equal_nan": True}), (A, A + 1e-6), (U, U), (A, A[:1]), (A, A[:2]))
_calls("isclose", (I, I + 1, 0.5, 0), (np.array([np.inf]), np.array([np.inf])), (U, A))
_calls("hypot", ([np.nan, 3, np.inf], [np.inf, 4, 1]), (U, -7), (I, A))
_calls("float_power", (I, 2), (A, 300), (I, 0.5))
_calls("size", (A, 1), (3,), (A,))
_calls("logical_and", (U, 300), (U, -1))


@pytest.mark.parametrize("name", list(CALLS))
@pytest.mark.filterwarnings("ignore:.*encountered in cast")
def test_arguments(name: str) -> None:
    for arguments, options in CALLS[name]:
        same_as_numpy(getattr(mnp, name), getattr(np, name), *arguments, **options)


def test_what_is_refused_here_alone() -> None:
    for function, error in (
        (lambda: mnp.array("text"), DTypeError),
        (lambda: mnp.array([None]), DTypeError),
        (lambda: mnp.array(2**64), DTypeError),
        (lambda: mnp.full(2, 300, np.uint8), NumberRangeError),
        (lambda: mnp.arange(1j), DTypeError),
        (lambda: mnp.sort(A, order="field"), ShapeError),
        (lambda: mnp.pad(A, 1, "edge", reflect_type="odd"), ShapeError),
        (lambda: mnp.asarray(A, device="gpu"), ShapeError),
    ):
        with pytest.raises(error):
            function()


def test_results_written_to_out() -> None:
    for function in (mnp.sum, mnp.mean, mnp.max, mnp.median, mnp.argmax):
        target = mnp.zeros(4, np.float64)
        assert function(A, 0, out=target) is target
        agree(np.asarray(function(A, 0), np.float64), target)
    target = mnp.zeros([3, 4])
    assert mnp.clip(A, 0, 1, target) is target
    agree(np.clip(A, 0, 1), target)
    with pytest.raises(ShapeError, match="out"):
        mnp.sum(A, 0, out=mnp.zeros(3))


def test_linear_algebra() -> None:
    for matrix in (A, A.T, A[:, :3], MATRICES["f8"]):
        for full in (True, False):
            u, s, vt = mnp.linalg.svd(matrix, full)
            want = np.linalg.svd(matrix, full)
            assert [list(each.shape) for each in (u, s, vt)] == [list(each.shape) for each in want]
            agree(want[1], s)
            count = s.shape[0]
            product = (np.asarray(u)[:, :count] * np.asarray(s)) @ np.asarray(vt)[:count]
            np.testing.assert_allclose(product, matrix, atol=1e-5)
        agree(want[1], mnp.linalg.svd(matrix, compute_uv=False))
    with pytest.raises(np.linalg.LinAlgError, match="dimension"):
        mnp.linalg.svd(A[0])


def test_from_dlpack() -> None:
    source = np.arange(3.0)
    shared = mnp.from_dlpack(source)
    source[0] = 7
    agree(source, shared)
    agree(source, np.from_dlpack(shared))
    assert not np.shares_memory(mnp.from_dlpack(source, copy=True).read(), source)
    with pytest.raises(DTypeError, match="DLPack"):
        mnp.from_dlpack([1, 2])


def test_copies_and_shares() -> None:
    assert not np.shares_memory(mnp.array(A).read(), A)
    assert np.shares_memory(np.asarray(mnp.asarray(A)), A)
    agree(A, mnp.copy(Var(A), "F"))
