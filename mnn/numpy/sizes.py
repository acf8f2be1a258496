"""Sizes of arrays as numbers, or as results of the graph while they are not known."""

from __future__ import annotations

import math
from typing import Any

from mnn.errors import UnsupportedError
from mnn.expr.var import Var
from mnn.ops.arithmetic import maximum as _maximum
from mnn.ops.arithmetic import minimum as _minimum
from mnn.ops.shape import range as _range
from mnn.ops.shape import shape as _shape

__all__ = ["at_least_zero", "known_shape", "product", "sizes_of", "smaller", "steps"]


def sizes_of(x: Var) -> list[Any]:
    """Return the sizes of x: ints, and 0-d int32 Vars where a size is not known."""
    known = list(x.shape)
    if -1 not in known:
        return known
    sizes = _shape(x)
    return [sizes[place] if size < 0 else size for place, size in enumerate(known)]


def known_shape(name: str, x: Var) -> tuple[int, ...]:
    """Return the sizes of x.

    Raises:
        UnsupportedError: x is recorded and a size is not known yet.
    """
    shape = tuple(x.shape)
    if -1 in shape:
        raise UnsupportedError(
            f"{name}: the array has shape {list(shape)}, expected known sizes (-1 is not known). "
            "Give the placeholder its sizes before recording."
        )
    return shape


def product(sizes: list[Any]) -> Any:
    """Return the product of sizes from `sizes_of`, an int if all are."""
    total: Any = math.prod(each for each in sizes if isinstance(each, int))
    for each in sizes:
        if isinstance(each, Var):
            total = each * total
    return total


def at_least_zero(size: Any) -> Any:
    """Return an int or a Var, 0 instead of a negative number."""
    return max(size, 0) if isinstance(size, int) else _maximum(size, 0)


def smaller(one: Any, two: Any) -> Any:
    """Return the smaller of two sizes, ints or Vars."""
    return min(one, two) if isinstance(one, int) and isinstance(two, int) else _minimum(one, two)


def steps(count: Any) -> Var:
    """Return 0, 1, ... below a count, an int or a Var, as int32."""
    return _range(0, count, 1)
