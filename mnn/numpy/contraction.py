"""Sums of products by index letters, from transposes, matrix products and sums of the graph."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype
from mnn.expr.modes import should_record
from mnn.expr.var import Var
from mnn.numpy.hosting import at_once
from mnn.numpy.products import _converted
from mnn.numpy.reductions import any as _any
from mnn.numpy.reductions import sum as _sum
from mnn.numpy.sizes import known_shape, product, sizes_of
from mnn.numpy.small import plain_arguments
from mnn.numpy.triangles import diagonal
from mnn.numpy.universal import finish
from mnn.ops.matmul import matmul as _matmul
from mnn.ops.movement import expand_dims, reshape, squeeze
from mnn.ops.operands import as_var, as_vars
from mnn.ops.transpose import transpose

__all__ = ["einsum", "einsum_path"]


def einsum(
    *operands: Any,
    out: Any = None,
    optimize: Any = False,
    dtype: Any = None,
    order: str = "K",
    casting: str = "safe",
) -> Var:
    """Return the sum of products of arrays, by Einstein's convention.

    Args:
        operands: letters of the axes, as in `"ij,jk->ik"`, and the arrays; or each array followed
            by a list of the numbers of its axes, and at last those of the result. Letters that
            the result has not are summed over; `...` stands for axes that broadcast; a letter
            twice in one array takes its diagonal.
        out: Var to write the result to.
        optimize: which two arrays to multiply first: False or True, "greedy", "optimal", or a
            path from `einsum_path`.
        dtype: element type to compute in.    casting: which conversions to it are allowed.
        order: accepted for compatibility.

    Raises:
        ShapeError: the letters do not fit the arrays.    DTypeError: a conversion is not allowed.
    """
    if operands and type(operands[0]) is str and out is None and dtype is None and order == "K":
        given = plain_arguments(operands[1:], None, len(operands) - 1)
        if given is not None and not should_record():
            try:
                return Var(_np.asarray(_np.einsum(operands[0], *given)))
            except (TypeError, ValueError):
                pass
        given = None  # what waits must be the only one that knows the arrays
    inputs, result, arrays = _parsed(operands)
    if order not in ("C", "F", "A", "K", None):
        raise ShapeError(f"einsum: order is {order!r}, expected 'C', 'F', 'A' or 'K'.")
    if dtype is not None:
        arrays = [_converted("einsum", each, as_dtype(dtype), casting) for each in arrays]
    if len(arrays) == 1 and out is None and at_once(*arrays) and set(inputs[0]) == set(result):
        # Transposes and diagonals of a computed array are views of it, as in NumPy.
        return Var(_np.einsum(f"{inputs[0]}->{result}", arrays[0]._array()))
    terms = [_without_repeats(*each) for each in zip(inputs, arrays, strict=True)]
    for positions in _order_of(inputs, result, arrays, optimize):
        taken = [terms[place] for place in positions]
        terms = [each for place, each in enumerate(terms) if place not in positions]
        kept = set(result).union(*(letters for letters, _ in terms))
        while len(taken) > 1:
            needed = kept.union(*(letters for letters, _ in taken[2:]))
            taken = [_contracted(taken[0], taken[1], needed), *taken[2:]]
        terms.append(taken[0])
    letters, found = _summed(terms[0], set(result))
    found = _ordered(found, letters, list(result))
    return finish("einsum", found, out, True, casting)  # type: ignore[no-any-return]


def einsum_path(
    *operands: Any, optimize: Any = "greedy", einsum_call: bool = False
) -> tuple[list[Any], Any]:
    """Return an order of products for `einsum(..., optimize=path)`, and a text about it.

    Args:
        operands: as for `einsum`; only the shapes of the arrays matter.
        optimize: "greedy", "optimal", False, or `(name, memory limit in elements)`.
        einsum_call: for NumPy's own use; refused.
    """
    if einsum_call:
        raise ShapeError("einsum_path: einsum_call is for NumPy's own use.")
    if isinstance(operands[0], str):
        shapes = [_standing_for(each) for each in operands[1:]]
        return _np.einsum_path(operands[0], *shapes, optimize=optimize)
    mixed = [
        each if place % 2 or _is_result_list(operands, place) else _standing_for(each)
        for place, each in enumerate(operands)
    ]
    return _np.einsum_path(*mixed, optimize=optimize)


def _is_result_list(operands: Sequence[Any], place: int) -> bool:
    return len(operands) % 2 == 1 and place == len(operands) - 1


def _standing_for(value: Any) -> Any:
    """Return an array of the same shape that takes no memory."""
    var = as_var(value, "einsum_path")
    return _np.broadcast_to(_np.zeros((), var.dtype), known_shape("einsum_path", var))


def _order_of(
    inputs: Sequence[str], result: str, arrays: Sequence[Var], optimize: Any
) -> list[tuple[int, ...]]:
    """Return which terms to multiply in each step; results go to the end."""
    if len(arrays) < 3 or optimize is False or any(-1 in each.shape for each in arrays):
        return [tuple(range(len(arrays)))] if len(arrays) > 1 else []
    formula = f"{','.join(inputs)}->{result}"
    path, _ = _np.einsum_path(formula, *(_standing_for(each) for each in arrays), optimize=optimize)
    return [tuple(sorted(each)) for each in path[1:]]


# --- reading the letters -------------------------------------------------------------------------


def _parsed(operands: Sequence[Any]) -> tuple[list[str], str, list[Var]]:
    """Return the letters of every operand and of the result, without dots, and the arrays."""
    if not operands:
        raise ShapeError("einsum: found no operands, expected letters and arrays.")
    if isinstance(operands[0], str):
        formula, arrays = operands[0].replace(" ", ""), list(operands[1:])
    else:
        formula, arrays = _from_lists(operands)
    variables = as_vars(arrays, "einsum")
    left, arrow, right = formula.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(variables):
        raise ShapeError(
            f"einsum: {formula!r} names {len(inputs)} operands, found {len(variables)}."
        )
    allowed = set(string.ascii_letters)
    for text in (*inputs, right):
        rest = text.replace("...", "", 1)
        if not set(rest) <= allowed:
            raise ShapeError(
                f"einsum: found {text!r} in {formula!r}, expected letters and at most one '...'."
            )
    free = [each for each in reversed(string.ascii_letters) if each not in formula]
    spread = [
        var.ndim - len(text.replace("...", "")) if "..." in text else 0
        for text, var in zip(inputs, variables, strict=True)
    ]
    dots = "".join(free[: max([*spread, 0])])
    full = [
        text.replace("...", dots[len(dots) - max(count, 0) :])
        for text, count in zip(inputs, spread, strict=True)
    ]
    for text, var in zip(full, variables, strict=True):
        if len(text) != var.ndim:
            raise ShapeError(
                f"einsum: {formula!r} gives {len(text)} axes to an array of shape {var.shape}."
            )
    result = _result_letters(formula, left, arrow, right, dots)
    unknown = [each for each in result if all(each not in text for text in full)]
    if unknown or len(set(result)) != len(result):
        raise ShapeError(
            f"einsum: {right!r} in {formula!r} may name each letter of the operands once."
        )
    return full, result, variables


def _result_letters(formula: str, left: str, arrow: str, right: str, dots: str) -> str:
    if arrow:
        if dots and "..." not in right:
            raise ShapeError(f"einsum: {formula!r} has '...' in operands but not in the result.")
        return right.replace("...", dots)
    once = [each for each in set(left) - set(".,") if left.count(each) == 1]
    return dots + "".join(sorted(once))


def _from_lists(operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return a formula for arrays that are each followed by the numbers of their axes."""
    *pairs, last = [*operands] if len(operands) % 2 else [*operands, None]
    arrays, lists = pairs[::2], pairs[1::2]
    if len(operands) < 2 or len(arrays) != len(lists):
        raise ShapeError("einsum: expected arrays that are each followed by a list of axes.")
    formula = ",".join(_letters(each) for each in lists)
    return formula + ("" if last is None else f"->{_letters(last)}"), arrays


def _letters(axes: Any) -> str:
    found = ""
    for each in axes:
        if each is Ellipsis:
            found += "..."
            continue
        try:
            number = each.__index__()
        except AttributeError as error:
            raise DTypeError(f"einsum: found {each!r} as an axis, expected an int.") from error
        if not 0 <= number < len(string.ascii_letters):
            raise ShapeError(f"einsum: found the axis number {number}, expected 0 to 51.")
        found += string.ascii_letters[number]
    return found


# --- computing -----------------------------------------------------------------------------------


_Term = tuple[str, Var]


def _without_repeats(letters: str, x: Var) -> _Term:
    """Return an operand with the diagonals of letters that it names twice."""
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            one, two = x.shape[first], x.shape[second]
            if one != two:
                raise ShapeError(f"einsum: letter {letter!r} has sizes {one} and {two}.")
            x = diagonal(x, 0, first, second)
            letters = letters[:first] + letters[first + 1 : second] + letters[second + 1 :] + letter
    return letters, x


def _summed(term: _Term, kept: set[str]) -> _Term:
    """Return a term summed over the letters that nothing needs any more."""
    letters, x = term
    axes = tuple(place for place, letter in enumerate(letters) if letter not in kept)
    if not axes:
        return term
    left = "".join(letter for letter in letters if letter in kept)
    return left, _any(x, axes) if x.dtype.kind == "b" else _sum(x, axes, x.dtype)


def _ordered(x: Var, letters: str, wanted: Sequence[str]) -> Var:
    """Return an array with its axes in another order of letters."""
    if list(letters) == list(wanted):
        return x
    return transpose(x, [letters.index(each) for each in wanted])


def _contracted(first: _Term, second: _Term, kept: set[str]) -> _Term:
    """Return the product of two terms, summed over letters that nothing else needs."""
    first, second = _stretched(first, second, kept)
    (left, _), (right, _) = first, second
    first, second = _summed(first, kept | set(right)), _summed(second, kept | set(left))
    (left, x), (right, y) = first, second
    shared = [letter for letter in left if letter in right]
    batch = [letter for letter in shared if letter in kept]
    inner = [letter for letter in shared if letter not in kept]
    rows = [letter for letter in left if letter not in right]
    columns = [letter for letter in right if letter not in left]
    letters = "".join(batch + rows + columns)
    if not inner:
        x = _ordered(x, left, batch + rows)
        y = _ordered(y, right, batch + columns)
        if columns:
            x = expand_dims(x, tuple(range(len(batch + rows), len(letters))))
        if rows:
            y = expand_dims(y, tuple(range(len(batch), len(batch + rows))))
        return letters, x * y
    if not rows and not columns:
        # Sums of products along axes fuse; there are no rows to reuse.
        both = "".join(batch + inner)
        return _summed((both, _ordered(x, left, both) * _ordered(y, right, both)), set(batch))
    x = _ordered(x, left, batch + rows + inner)
    y = _ordered(y, right, batch + inner + columns)
    if len(rows) == len(inner) == len(columns) == 1:
        return letters, _matmul(x, y)
    of_x, of_y = sizes_of(x), sizes_of(y)
    count, width = len(batch), len(rows)
    middle = product(of_x[count + width :])
    matrices_x = reshape(
        x, [*of_x[:count], product(of_x[count : count + width]), middle], copy_zero=False
    )
    ends = of_y[count + len(inner) :]
    matrices_y = reshape(y, [*of_y[:count], middle, product(ends)], copy_zero=False)
    found = _matmul(matrices_x, matrices_y)
    sizes = [*sizes_of(found)[:count], *of_x[count : count + width], *ends]
    return letters, reshape(found, sizes, copy_zero=False)


def _stretched(first: _Term, second: _Term, kept: set[str]) -> tuple[_Term, _Term]:
    """Return terms in which summed letters have equal sizes: 1 meets n as a sum over the n."""
    (left, x), (right, y) = first, second
    for letter in [each for each in left if each in right]:
        one, two = x.shape[left.index(letter)], y.shape[right.index(letter)]
        if one == two or -1 in (one, two):
            continue
        if 1 not in (one, two):
            raise ShapeError(f"einsum: letter {letter!r} has sizes {one} and {two}.")
        if letter in kept:
            continue
        if one == 1:
            x, left = squeeze(x, left.index(letter)), left.replace(letter, "")
        else:
            y, right = squeeze(y, right.index(letter)), right.replace(letter, "")
    return (left, x), (right, y)
