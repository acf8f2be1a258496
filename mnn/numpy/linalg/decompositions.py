"""Matrices as products of simpler ones.

NumPy's LAPACK computes them, in the type of the matrices: float32 stays float32, integers count as
float32. Errors are NumPy's: `LinAlgError`, a ValueError, for what is no (square) matrix or does not
converge.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as _np

from mnn.expr.var import Var
from mnn.numpy.hosting import at_once, computed, floating
from mnn.ops.linalg import det as _det
from mnn.ops.linalg import svd as _svd
from mnn.ops.operands import as_var

__all__ = [
    "cholesky",
    "det",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "qr",
    "slogdet",
    "svd",
    "svdvals",
]


@functools.cache
def _svd_result() -> Any:
    """Return NumPy's class for the three results of svd, which has no public name."""
    return type(_np.linalg.svd(_np.eye(1)))


def _is_recorded(var: Var) -> bool:
    """Return True for a result of a graph, for matrices of known sizes and a type LAPACK takes."""
    return not at_once(var) and var.ndim >= 2 and var.dtype in (_np.float32, _np.float64)


def cholesky(a: Any, /, *, upper: bool = False) -> Var:
    """Return the triangular factor of positive-definite matrices: `a = l @ l.mT.conj()`.

    Args:
        a: `(..., n, n)`, of which only one triangle is read.
        upper: return the upper factor `u` with `a = u.mT.conj() @ u`.

    Raises:
        LinAlgError: not positive-definite, or not square.
    """
    found: Var = computed(_np.linalg.cholesky, floating(a, "cholesky"), upper=upper)
    return found


def qr(a: Any, mode: str = "reduced") -> Any:
    """Return `(Q, R)` with `a = Q @ R`: orthonormal columns and an upper triangle.

    Args:
        a: `(..., rows, columns)`.
        mode: "reduced", "complete" (square Q), "r" (R alone) or "raw" (LAPACK's `(h, tau)`).

    Raises:
        ValueError: an unknown mode, or no matrices.
    """
    return computed(_np.linalg.qr, floating(a, "qr"), mode)


def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """Return `(U, S, Vh)` with `a = (U * S) @ Vh`, S descending.

    Args:
        a: `(..., rows, columns)`.
        full_matrices: U and Vh are square; False: as narrow as S is long.
        compute_uv: False: return S alone.
        hermitian: a equals its conjugate transpose, which is quicker.

    Raises:
        LinAlgError: no matrices, or no convergence.
    """
    var = as_var(a, "svd")
    is_reduced = not full_matrices or not compute_uv or var.shape[-1:] == var.shape[-2:-1]
    if _is_recorded(var) and is_reduced:
        values, left, right = _svd(var)
        return _svd_result()(left, values, right) if compute_uv else values
    return computed(_np.linalg.svd, floating(a, "svd"), full_matrices, compute_uv, hermitian)


def svdvals(x: Any, /) -> Var:
    """Return the singular values of matrices, descending."""
    found: Var = svd(x, compute_uv=False)
    return found


def eig(a: Any) -> Any:
    """Return `(eigenvalues, eigenvectors)` of square matrices; the vectors are columns.

    Raises:
        LinAlgError: not square, not finite, or no convergence.
    """
    return computed(_np.linalg.eig, floating(a, "eig"))


def eigh(a: Any, UPLO: str = "L") -> Any:
    """Return `(eigenvalues, eigenvectors)` of symmetric matrices, ascending.

    Args:
        a: `(..., n, n)`.    UPLO: "L" or "U": the triangle that is read.
    """
    return computed(_np.linalg.eigh, floating(a, "eigh"), UPLO)


def eigvals(a: Any) -> Var:
    """Return the eigenvalues of square matrices, real if they all are."""
    found: Var = computed(_np.linalg.eigvals, floating(a, "eigvals"))
    return found


def eigvalsh(a: Any, UPLO: str = "L") -> Var:
    """Return the eigenvalues of symmetric matrices, ascending; arguments are those of `eigh`."""
    found: Var = computed(_np.linalg.eigvalsh, floating(a, "eigvalsh"), UPLO)
    return found


def det(a: Any) -> Var:
    """Return the determinants of square matrices."""
    var = as_var(a, "det")
    if _is_recorded(var):
        if var.shape[-1] != var.shape[-2] and -1 not in var.shape[-2:]:
            raise _np.linalg.LinAlgError(f"det: found shape {var.shape}, expected square matrices.")
        found: Var = _det(var)
        return found
    hosted: Var = computed(_np.linalg.det, floating(a, "det"))
    return hosted


def slogdet(a: Any) -> Any:
    """Return `(sign, logabsdet)`: determinants that would be too large or small as numbers."""
    return computed(_np.linalg.slogdet, floating(a, "slogdet"))
