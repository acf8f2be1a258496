"""Equations and inverses, by NumPy's LAPACK."""

from __future__ import annotations

import operator
from typing import Any

import numpy as _np

from mnn.errors import ShapeError
from mnn.expr.var import Var
from mnn.numpy.creation import copy, eye
from mnn.numpy.hosting import computed, floating
from mnn.numpy.linalg.norms import vector_norm
from mnn.ops.matmul import matmul as _matmul
from mnn.ops.operands import array_of, as_var, as_vars
from mnn.ops.repeat import broadcast_to

__all__ = [
    "cond",
    "inv",
    "lstsq",
    "matrix_power",
    "matrix_rank",
    "pinv",
    "solve",
    "tensorinv",
    "tensorsolve",
]


def solve(a: Any, b: Any) -> Var:
    """Return x with `a @ x = b`.

    Args:
        a: `(..., n, n)`.
        b: `(n,)`, or `(..., n, k)`.

    Raises:
        LinAlgError: a is singular or not square.    ValueError: b does not fit.
    """
    left, right = (floating(each, "solve") for each in as_vars((a, b), "solve"))
    found: Var = computed(_np.linalg.solve, left, right)
    return found


def inv(a: Any) -> Var:
    """Return the inverses of square matrices.

    Raises:
        LinAlgError: a matrix is singular, or not square.
    """
    found: Var = computed(_np.linalg.inv, floating(a, "inv"))
    return found


def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Var:
    """Return the (Moore-Penrose) pseudo-inverses of matrices.

    Args:
        a: `(..., rows, columns)`.
        rcond: singular values below `rcond` times the largest count as 0; 1e-15 if both are None.
        hermitian: a equals its conjugate transpose.
        rtol: the array API's name for rcond.

    Raises:
        ValueError: both rcond and rtol are given.
    """
    options: dict[str, Any] = {"hermitian": hermitian}
    if rtol is not None:
        options["rtol"] = rtol
    if rcond is not None:
        options["rcond"] = rcond
    matrices = array_of(a, "pinv")
    # NumPy gives back what has no elements in the type it has.
    matrices = floating(a, "pinv") if matrices.size else matrices
    found: Var = computed(_np.linalg.pinv, matrices, **options)
    return found


def lstsq(a: Any, b: Any, rcond: float | None = None) -> tuple[Any, Any, Any, Any]:
    """Return `(x, residuals, rank, singular values)` with `|a @ x - b|` as small as can be.

    Args:
        a: `(rows, columns)`.    b: `(rows,)` or `(rows, k)`.
        rcond: singular values below `rcond` times the largest count as 0; None: the machine
            epsilon of the type times the larger size; -1: the machine epsilon.

    Raises:
        LinAlgError: no matrix, sizes that do not fit, or no convergence.
    """
    left, right = (floating(each, "lstsq") for each in as_vars((a, b), "lstsq"))
    found: tuple[Any, Any, Any, Any] = computed(_np.linalg.lstsq, left, right, rcond)
    return found


def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """Return how many singular values are above a tolerance.

    Args:
        A: `(..., rows, columns)`.
        tol: the tolerance; None: `rtol` times the largest singular value.
        hermitian: A equals its conjugate transpose.
        rtol: None: the machine epsilon of the type times the larger size.
    """
    # With fewer dimensions the answer is whether anything is not 0, whatever the type.
    matrices = array_of(A, "matrix_rank")
    if matrices.ndim >= 2:
        matrices = floating(A, "matrix_rank")
    options = {"rtol": rtol} if rtol is not None else {}
    return computed(_np.linalg.matrix_rank, matrices, tol, hermitian, **options)


def cond(x: Any, p: Any = None) -> Var:
    """Return the condition numbers of matrices: how much errors grow when solving with them.

    Args:
        x: `(..., rows, columns)`.
        p: order of the norm: None (2), -2, 1, -1, inf, -inf or "fro".
    """
    found: Var = computed(_np.linalg.cond, floating(x, "cond"), p)
    return found


def matrix_power(a: Any, n: int) -> Var:
    """Return square matrices to the power of a whole number; negative ones invert first.

    Raises:
        TypeError: n is no integer.    LinAlgError: not square, or singular and n < 0.
    """
    var = as_var(a, "matrix_power")
    if var.ndim < 2 or var.shape[-1] != var.shape[-2]:
        raise _np.linalg.LinAlgError(
            f"matrix_power: found shape {var.shape}, expected square matrices."
        )
    exponent = operator.index(n)
    if exponent < 0:
        var, exponent = inv(var), -exponent
    if exponent == 0:
        return copy(broadcast_to(eye(var.shape[-1], dtype=var.dtype), var.shape))
    found: Var | None = None
    while exponent:
        exponent, odd = divmod(exponent, 2)
        if odd:
            found = var if found is None else _matmul(found, var)
        if exponent:
            var = _matmul(var, var)
    assert found is not None
    return found


def tensorsolve(a: Any, b: Any, axes: Any = None) -> Var:
    """Return x with `tensordot(a, x, x.ndim) = b`.

    Args:
        a: `b.shape + x.shape`, as many elements in both.    b: array.
        axes: of a, to move to its end first.
    """
    left, right = floating(a, "tensorsolve"), floating(b, "tensorsolve")
    found: Var = computed(_np.linalg.tensorsolve, left, right, axes)
    return found


def tensorinv(a: Any, ind: int = 2) -> Var:
    """Return the inverse of `a` for `tensordot(..., ind)`.

    Raises:
        ValueError: ind < 1.    LinAlgError: singular, or the first `ind` sizes are not as large.
    """
    found: Var = computed(_np.linalg.tensorinv, floating(a, "tensorinv"), ind)
    return found
