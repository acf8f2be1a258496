"""Grids of coordinates, and objects that are indexed instead of called."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError, UnsupportedError
from mnn.expr.dtypes import default_float, default_int
from mnn.expr.var import Var
from mnn.numpy.creation import _fresh
from mnn.numpy.hosting import plain
from mnn.numpy.manipulation import concatenate
from mnn.ops.movement import reshape
from mnn.ops.operands import as_var
from mnn.ops.transpose import transpose

__all__ = ["c_", "index_exp", "mgrid", "ogrid", "r_", "s_"]


def _default(values: Any) -> Any:
    """Return numbers made from Python numbers in our default types."""
    if values.dtype == _np.float64:
        return values.astype(default_float)
    if values.dtype == _np.int64:
        fits = not values.size or (
            values.min() >= _np.iinfo(default_int).min
            and values.max() <= _np.iinfo(default_int).max
        )
        return values.astype(default_int) if fits else values
    return values.astype(_np.complex64) if values.dtype == _np.complex128 else values


def _typed(key: Any) -> bool:
    """Return True if a bound or step of the slices has an element type of its own."""
    items = key if isinstance(key, tuple) else (key,)
    return any(
        isinstance(each, (Var, _np.generic, _np.ndarray))
        for item in items
        if isinstance(item, slice)
        for each in (item.start, item.stop, item.step)
    )


def _slices(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(_slices(each) for each in key)
    if isinstance(key, slice):
        bounds = (plain(each) for each in (key.start, key.stop, key.step))
        return slice(*(each[()] if isinstance(each, _np.ndarray) else each for each in bounds))
    return plain(key)


class _Grid:
    """Coordinates of the points of a grid: `mgrid[0:3, 0:1:5j]`.

    A step of `5j` means 5 points, both ends among them.
    """

    def __init__(self, sparse: bool) -> None:
        self.sparse = sparse

    def __getitem__(self, key: Any) -> Any:
        found = (_np.ogrid if self.sparse else _np.mgrid)[_slices(key)]
        typed = _typed(key)
        if isinstance(found, (tuple, list)):
            return tuple(_fresh(each if typed else _default(each)) for each in found)
        return _fresh(found if typed else _default(found))


mgrid = _Grid(sparse=False)
ogrid = _Grid(sparse=True)


class _Index:
    """Gives what stands between the brackets: `a[s_[1:, None]]` is `a[1:, None]`."""

    def __init__(self, maketuple: bool) -> None:
        self.maketuple = maketuple

    def __getitem__(self, item: Any) -> Any:
        return (item,) if self.maketuple and not isinstance(item, tuple) else item


index_exp = _Index(maketuple=True)
s_ = _Index(maketuple=False)


class _Joined:
    """Arrays, numbers and ranges joined along an axis: `r_[0:5, 7, array]`.

    A first item such as `"0,2,1"` sets the axis, the least number of dimensions, and where the
    dimensions of arrays with fewer start; `"r"` and `"c"` make 1-D results rows and columns.
    """

    def __init__(self, axis: int, ndmin: int = 1, start: int = -1) -> None:
        self.axis = axis
        self.ndmin = ndmin
        self.start = start

    def __len__(self) -> int:
        return 0

    def __getitem__(self, key: Any) -> Var:
        items = list(key) if isinstance(key, tuple) else [key]
        axis, ndmin, start, shape = self.axis, self.ndmin, self.start, ""
        if items and isinstance(items[0], str):
            text = items.pop(0).strip()
            if text in ("r", "c"):
                shape = text
            else:
                axis, ndmin, start = _numbers(text, axis, ndmin, start)
        if any(isinstance(each, str) for each in items):
            raise ShapeError("r_: found text after the first item. Text must come first.")
        parts = [_part(each, ndmin, start) for each in items]
        if not parts:
            raise ShapeError("r_: found nothing to join, expected at least one array.")
        found = concatenate(_one_type(items, parts), axis)
        if shape and found.ndim == 1:
            return reshape(found, (1, -1) if shape == "r" else (-1, 1), copy_zero=False)
        return found


def _numbers(text: str, axis: int, ndmin: int, start: int) -> tuple[int, int, int]:
    try:
        given = [int(each) for each in text.split(",")]
    except ValueError as error:
        raise ShapeError(f"r_: found {text!r}, expected 'r', 'c' or up to three ints.") from error
    return tuple((given + [axis, ndmin, start][len(given) :])[:3])  # type: ignore[return-value]


def _part(item: Any, ndmin: int, start: int) -> Var:
    """Return one item as an array of at least `ndmin` dimensions."""
    if isinstance(item, slice):
        values = _np.r_[_slices(item)]
        part = _fresh(values if _typed(item) else _default(values))
        return reshape(part, _placed(1, ndmin, -1, part), copy_zero=False) if ndmin > 1 else part
    part = as_var(item, "r_")
    if part.ndim >= ndmin:
        return part
    return reshape(part, _placed(part.ndim, ndmin, start, part), copy_zero=False)


def _placed(rank: int, ndmin: int, start: int, part: Var) -> list[int]:
    """Return the shape of a part with its dimensions from `start` on among `ndmin`."""
    first = start if start >= 0 else ndmin - rank + start + 1
    first = min(max(first, 0), ndmin - rank)
    return [*[1] * first, *part.shape, *[1] * (ndmin - rank - first)]


def _one_type(items: list[Any], parts: list[Var]) -> list[Var]:
    """Return parts with the Python numbers among the items in the type of the arrays."""
    from mnn.expr.dtypes import common_dtype, weak_result
    from mnn.ops.convert import cast

    weak = [type(each) in (bool, int, float, complex) for each in items]
    strong = [part.dtype for part, is_weak in zip(parts, weak, strict=True) if not is_weak]
    if not strong or not any(weak):
        return parts
    wanted = common_dtype(*strong)
    for item, is_weak in zip(items, weak, strict=True):
        if is_weak:
            wanted = weak_result(wanted, item)
    return [cast(each, wanted) for each in parts]


r_ = _Joined(0)
c_ = _Joined(-1, 2, 0)
