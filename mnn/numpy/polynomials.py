"""Polynomials as vectors of coefficients, that of the highest power first."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as _np

from mnn.errors import IndexRangeError, ShapeError
from mnn.expr.dtypes import common_dtype, default_float, is_half, kind_of
from mnn.expr.var import Var
from mnn.numpy.defaults import narrowed
from mnn.numpy.hosting import at_once, computed
from mnn.numpy.running import cumprod
from mnn.numpy.sizes import known_shape
from mnn.ops.convert import cast
from mnn.ops.create import ones_like as _ones_like
from mnn.ops.create import zeros_like as _zeros_like
from mnn.ops.joining import concat as _concat
from mnn.ops.joining import stack as _stack
from mnn.ops.movement import reshape
from mnn.ops.operands import array_of, as_var, as_vars

__all__ = [
    "poly",
    "poly1d",
    "polyadd",
    "polyder",
    "polydiv",
    "polyfit",
    "polyint",
    "polymul",
    "polysub",
    "polyval",
    "roots",
    "vander",
]


def _coefficients(p: Any, name: str) -> Var:
    """Return the coefficients of a polynomial, at least one dimension."""
    if isinstance(p, poly1d):
        return p.coeffs
    var = as_var(p.coeffs if isinstance(p, _np.poly1d) else p, name)
    return var if var.ndim else reshape(var, (1,))


def _like(found: Var, *operands: Any) -> Any:
    """Return coefficients as a `poly1d` if an operand is one."""
    return poly1d(found) if any(isinstance(each, poly1d) for each in operands) else found


def poly(seq_of_zeros: Any) -> Var:
    """Return the coefficients of the polynomial with these roots; values are read at once.

    Args:
        seq_of_zeros: roots, or a square matrix: its eigenvalues are the roots.
    """
    found: Var = narrowed(_np.poly, array_of(seq_of_zeros, "poly"))
    return found


def roots(p: Any) -> Var:
    """Return the roots, real if all are; values are read at once."""
    found: Var = narrowed(_np.roots, _coefficients(p, "roots"))
    return found


def polyval(p: Any, x: Any) -> Any:
    """Return the polynomial at x; at another polynomial, the composition of both.

    Args:
        p: coefficients, highest power first, or a `poly1d`.
        x: array, or a `poly1d`.
    """
    digits = p if isinstance(p, poly1d) or isinstance(x, poly1d) else as_vars((p, x), "polyval")[0]
    coefficients = _coefficients(digits, "polyval")
    count = known_shape("polyval", coefficients)[0]
    if isinstance(x, poly1d):
        composed: Any = poly1d(0)
        for number in range(count):
            composed = composed * x + poly1d(coefficients[number])
        return composed
    var = as_var(x, "polyval")
    if at_once(coefficients, var):
        return computed(_np.polyval, coefficients, var)
    found: Var = _zeros_like(var)
    for number in range(count):
        found = found * var + coefficients[number]
    return found


def _padded(one: Var, two: Var) -> tuple[Var, Var]:
    """Return coefficients of two polynomials as vectors of equal length."""
    sizes = known_shape("polyadd", one)[0], known_shape("polyadd", two)[0]
    length = max(sizes)
    made = []
    for each, size in zip((one, two), sizes, strict=True):
        missing = Var(_np.zeros(length - size, each.dtype))
        made.append(_concat([missing, each], 0) if size < length else each)
    return made[0], made[1]


def polyadd(a1: Any, a2: Any) -> Any:
    """Return the sum of two polynomials, a `poly1d` if one of them is."""
    one, two = _padded(_coefficients(a1, "polyadd"), _coefficients(a2, "polyadd"))
    return _like(one + two, a1, a2)


def polysub(a1: Any, a2: Any) -> Any:
    """Return the difference of two polynomials, a `poly1d` if one of them is."""
    one, two = _padded(_coefficients(a1, "polysub"), _coefficients(a2, "polysub"))
    return _like(one - two, a1, a2)


def polymul(a1: Any, a2: Any) -> Any:
    """Return the product of two polynomials without leading zeros; values are read at once."""
    one, two = _coefficients(a1, "polymul"), _coefficients(a2, "polymul")
    return _like(computed(_np.polymul, one, two), a1, a2)


def polydiv(u: Any, v: Any) -> tuple[Any, Any]:
    """Return quotient and rest of two polynomials; values are read at once."""
    one, two = _coefficients(u, "polydiv"), _coefficients(v, "polydiv")
    quotient, rest = narrowed(_np.polydiv, one, two)
    return _like(quotient, u, v), _like(rest, u, v)


def _order(name: str, m: Any) -> int:
    number = operator.index(m)
    if number < 0:
        raise ShapeError(f"{name}: found order {number}, expected >= 0.")
    return number


def _powers(p: Var, first: int) -> Var:
    """Return first, first - 1, ... 1 in a type that leaves that of p as it is."""
    dtype = p.dtype if kind_of(p.dtype) in "fc" else _np.dtype(_np.int32)
    powers = _np.arange(first, 0, -1)
    return Var(powers.astype(default_float if is_half(dtype) else dtype))


def polyder(p: Any, m: int = 1) -> Any:
    """Return the m-th derivative of a polynomial, a `poly1d` if it is one."""
    found = _coefficients(p, "polyder")
    for _ in range(_order("polyder", m)):
        size = known_shape("polyder", found)[0]
        found = found[:-1] * _powers(found, size - 1)
    return _like(found, p)


def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """Return the m-th integral of a polynomial, a `poly1d` if it is one.

    Args:
        p: coefficients.
        m: how often.
        k: constants of the integrals, in order; one number for all; None: 0.

    Raises:
        ShapeError: m is negative, or there are too few constants.
    """
    count = _order("polyint", m)
    constants = Var(_np.zeros(count, default_float)) if k is None else as_var(k, "polyint")
    constants = constants if constants.ndim else reshape(constants, (1,))
    given = known_shape("polyint", constants)[0]
    if given < count and given != 1:
        raise ShapeError(f"polyint: found {given} constants, expected 1 or {count}.")
    found = _coefficients(p, "polyint")
    for number in range(count):
        last = constants[number if given > 1 else 0]
        divided = found / _powers(found, known_shape("polyint", found)[0])
        dtype = divided.dtype if k is None else common_dtype(divided.dtype, last.dtype)
        found = _concat([cast(divided, dtype), reshape(cast(last, dtype), (1,))], 0)
    return _like(found, p)


def polyfit(
    x: Any,
    y: Any,
    deg: Any,
    rcond: float | None = None,
    full: bool = False,
    w: Any = None,
    cov: Any = False,
) -> Any:
    """Return the coefficients of the polynomial nearest to points; values are read at once.

    Args:
        x: `(M,)` places.
        y: `(M,)` or `(M, K)` heights.
        deg: degree.
        rcond: ratio of singular values that counts as 0.
        full: also return residuals, rank, singular values and rcond.
        w: weights of the points.
        cov: also return the covariance of the coefficients; "unscaled": as the weights have it.
    """
    return narrowed(
        _np.polyfit,
        array_of(x, "polyfit"),
        array_of(y, "polyfit"),
        deg,
        rcond,
        full,
        None if w is None else array_of(w, "polyfit"),
        cov,
    )


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Var:
    """Return the matrix whose columns are powers of x.

    Args:
        x: vector.
        N: how many columns; None: as many as x has elements.
        increasing: the powers ascend from 0.

    Raises:
        ShapeError: x is no vector.
    """
    var = as_var(x, "vander")
    if var.ndim != 1:
        raise ShapeError(f"vander: found shape {var.shape}, expected a vector.")
    count = known_shape("vander", var)[0] if N is None else operator.index(N)
    if count < 0:
        raise ShapeError(f"vander: found {count} columns, expected >= 0.")
    dtype = _np.result_type(var.dtype, _np.int32) if var.dtype.kind in "biu" else var.dtype
    var = cast(var, default_float if is_half(dtype) else dtype)
    if count == 0:
        return Var(_np.zeros((known_shape("vander", var)[0], 0), var.dtype))
    powers = cumprod(_stack([_ones_like(var), *[var] * (count - 1)], 1), 1, var.dtype)
    return powers if increasing else powers[:, ::-1]


class poly1d:  # noqa: N801 - NumPy's name
    """A polynomial of one variable: what has coefficients, can be called, added and so on.

    Args:
        c_or_r: coefficients, highest power first, or roots; read at once.
        r: they are roots.
        variable: name for printing.
    """

    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None

    def __init__(self, c_or_r: Any, r: bool = False, variable: str | None = None) -> None:
        if isinstance(c_or_r, (poly1d, _np.poly1d)):
            held: Any = c_or_r.coeffs
            variable = variable or c_or_r.variable
        else:
            held = poly(c_or_r) if r else c_or_r
        self._held = _np.poly1d(array_of(held, "poly1d"), variable=variable)

    @property
    def coeffs(self) -> Var:
        """The coefficients, without leading zeros."""
        return Var(_np.array(self._held.coeffs))

    @coeffs.setter
    def coeffs(self, value: Any) -> None:
        self._held = _np.poly1d(array_of(value, "poly1d"), variable=self.variable)

    c = coef = coefficients = coeffs

    @property
    def order(self) -> int:
        """The highest power."""
        return int(self._held.order)

    o = order

    @property
    def roots(self) -> Var:
        """Where the polynomial is 0."""
        return roots(self)

    r = roots

    @property
    def variable(self) -> str:
        """The name of the variable in print."""
        return str(self._held.variable)

    def __call__(self, val: Any) -> Any:
        """Return the polynomial at `val`."""
        return polyval(self, val)

    def __getitem__(self, power: int) -> Var:
        """Return the coefficient of a power; 0 for those that do not occur."""
        return Var(_np.asarray(self._held[power]).astype(self._held.coeffs.dtype))

    def __setitem__(self, power: int, value: Any) -> None:
        """Set the coefficient of a power.

        Raises:
            IndexRangeError: the power is negative.
        """
        if power < 0:
            raise IndexRangeError(f"poly1d: found power {power}, expected >= 0.")
        self._held[power] = array_of(value, "poly1d")

    def __len__(self) -> int:
        """Return the highest power."""
        return self.order

    def __iter__(self) -> Iterator[Var]:
        """Iterate over the coefficients."""
        return iter(self.coeffs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Return the coefficients as a NumPy array."""
        return _np.array(self._held.coeffs, dtype)

    def __neg__(self) -> poly1d:
        """Return -p."""
        return poly1d(-self.coeffs)

    def __pos__(self) -> poly1d:
        """Return p."""
        return self

    def __add__(self, other: Any) -> Any:
        """Return p + other."""
        return polyadd(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        """Return p - other."""
        return polysub(self, other)

    def __rsub__(self, other: Any) -> Any:
        """Return other - p."""
        return polysub(other, self)

    def __mul__(self, other: Any) -> Any:
        """Return p * other, the product of polynomials."""
        return polymul(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        """Return p divided by a number, or quotient and rest by a polynomial."""
        if isinstance(other, poly1d):
            return polydiv(self, other)
        return poly1d(self.coeffs / other)

    def __rtruediv__(self, other: Any) -> Any:
        """Return other divided by p: a number by its coefficients, else quotient and rest."""
        return (
            polydiv(other, self)
            if not isinstance(other, (int, float, complex))
            else poly1d(other / self.coeffs)
        )

    def __pow__(self, exponent: int) -> poly1d:
        """Return p to a whole power >= 0.

        Raises:
            ShapeError: another exponent.
        """
        if exponent != int(exponent) or exponent < 0:
            raise ShapeError(f"poly1d: found exponent {exponent!r}, expected a whole one >= 0.")
        found = poly1d(_ones_like(self.coeffs[:1]))
        for _ in range(int(exponent)):
            found = found * self
        return found

    def __eq__(self, other: object) -> bool:
        """Return whether two polynomials have equal coefficients."""
        if not isinstance(other, poly1d):
            return NotImplemented
        return bool(self._held == other._held)

    def deriv(self, m: int = 1) -> poly1d:
        """Return the m-th derivative."""
        return poly1d(polyder(self.coeffs, m))

    def integ(self, m: int = 1, k: Any = 0) -> poly1d:
        """Return the m-th integral with constants k."""
        return poly1d(polyint(self.coeffs, m, k))

    def __repr__(self) -> str:
        """Return the coefficients."""
        return repr(self._held)

    def __str__(self) -> str:
        """Return the polynomial on two lines, the exponents above."""
        return str(self._held)
