"""Discrete Fourier transforms, computed by NumPy.

float32 data gives complex64 and float64 data complex128; integers count as float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, default_float
from mnn.expr.var import Var
from mnn.numpy.hosting import computed, floating, plain
from mnn.numpy.reductions import stored
from mnn.ops.operands import as_var

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]


def _transformed(function: Callable[..., Any], a: Any, out: Any, *arguments: Any) -> Var:
    """Return what NumPy's function makes of an array, written to `out` if one is given."""
    numbers = floating(a, function.__name__)
    result: Var = computed(function, numbers, *arguments)
    if not numbers.size and result.size:
        # NumPy does not fill what no number reaches.
        result = Var(_np.zeros(result.shape, result.dtype))
    if isinstance(out, Var) and not _np.can_cast(result.dtype, out.dtype, "same_kind"):
        raise DTypeError(
            f"{function.__name__}: out has dtype {out.dtype}, expected {result.dtype}."
        )
    return stored(result, out)


def fft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Var:
    """Return the Fourier transform along an axis.

    Args:
        a: array.
        n: how many elements to transform; longer axes are cut, shorter ones filled with zeros.
        axis: along which axis.
        norm: where the factor 1/n goes: "backward" (or None: into the inverse), "ortho" or
            "forward".
        out: Var to write the result to.

    Raises:
        ValueError: n < 1, or an unknown norm.    IndexError: no such axis.
    """
    return _transformed(_np.fft.fft, a, out, n, axis, norm)


def ifft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Var:
    """Return the inverse of `fft`; arguments are the same."""
    return _transformed(_np.fft.ifft, a, out, n, axis, norm)


def rfft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Var:
    """Return the first n // 2 + 1 terms of the transform of real data; arguments as in `fft`."""
    return _transformed(_np.fft.rfft, a, out, n, axis, norm)


def irfft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Var:
    """Return the n real numbers of which `rfft` gave the transform."""
    return _transformed(_np.fft.irfft, a, out, n, axis, norm)


def hfft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Var:
    """Return the n real terms of the transform of data that is its own mirrored conjugate."""
    return _transformed(_np.fft.hfft, a, out, n, axis, norm)


def ihfft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Var:
    """Return the inverse of `hfft`."""
    return _transformed(_np.fft.ihfft, a, out, n, axis, norm)


def fftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Var:
    """Return the Fourier transform along several axes.

    Args:
        a: array.
        s: how many elements to transform along each axis; -1: all of them.
        axes: along which axes; None: all, or the last ones that `s` has sizes for.
        norm, out: as in `fft`.

    Raises:
        ValueError: s and axes differ in length, or an unknown norm.
    """
    return _transformed(_np.fft.fftn, a, out, s, axes, norm)


def ifftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Var:
    """Return the inverse of `fftn`."""
    return _transformed(_np.fft.ifftn, a, out, s, axes, norm)


def rfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Var:
    """Return the transform of real data along several axes, the last one as in `rfft`."""
    return _transformed(_np.fft.rfftn, a, out, s, axes, norm)


def irfftn(
    a: Any, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None
) -> Var:
    """Return the inverse of `rfftn`."""
    return _transformed(_np.fft.irfftn, a, out, s, axes, norm)


def fft2(
    a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None
) -> Var:
    """Return the Fourier transform along two axes; arguments as in `fftn`."""
    return _transformed(_np.fft.fft2, a, out, s, axes, norm)


def ifft2(
    a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None
) -> Var:
    """Return the inverse of `fft2`."""
    return _transformed(_np.fft.ifft2, a, out, s, axes, norm)


def rfft2(
    a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None
) -> Var:
    """Return the transform of real data along two axes, the last one as in `rfft`."""
    return _transformed(_np.fft.rfft2, a, out, s, axes, norm)


def irfft2(
    a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None
) -> Var:
    """Return the inverse of `rfft2`."""
    return _transformed(_np.fft.irfft2, a, out, s, axes, norm)


def _frequencies(function: Callable[..., Any], n: Any, d: Any, dtype: Any, device: Any) -> Var:
    if device not in (None, "cpu"):
        raise ShapeError(f"{function.__name__}: device is {device!r}, expected 'cpu' or None.")
    found = function(plain(n), plain(d))
    if dtype is not None:
        wanted = as_dtype(dtype)
        if wanted.kind != "f":
            raise DTypeError(f"{function.__name__}: dtype is {wanted}, expected a float type.")
        found = found.astype(wanted)
    elif isinstance(d, (int, float)) and not isinstance(d, _np.generic):
        found = found.astype(default_float)
    return Var(found)


def fftfreq(n: int, d: Any = 1.0, device: Any = None, *, dtype: Any = None) -> Var:
    """Return the frequencies of the terms of a transform of n numbers, float32.

    Args:
        n: how many numbers.
        d: time between them, whose unit decides that of the frequencies.
        device: "cpu" or None.
        dtype: a float type for the result, as in the array API standard.
    """
    return _frequencies(_np.fft.fftfreq, n, d, dtype, device)


def rfftfreq(n: int, d: Any = 1.0, device: Any = None, *, dtype: Any = None) -> Var:
    """Return the frequencies of the terms of `rfft`; arguments are those of `fftfreq`."""
    return _frequencies(_np.fft.rfftfreq, n, d, dtype, device)


def _rolled(x: Any, axes: Any, forward: bool) -> Var:
    from mnn.numpy.manipulation import roll

    var = as_var(x, "fftshift")
    if axes is None:
        axes = tuple(range(var.ndim))
    places = (axes,) if isinstance(axes, (int, _np.integer)) else tuple(axes)
    if not places:
        if not var.ndim:
            raise ShapeError("fftshift: found an array without dimensions.")
        return var
    halves = [int(var.shape[axis]) // 2 for axis in places]
    return roll(var, tuple(each if forward else -each for each in halves), places)


def fftshift(x: Any, axes: Any = None) -> Var:
    """Return the array with the term of frequency 0 moved to the middle of the axes (all)."""
    return _rolled(x, axes, True)


def ifftshift(x: Any, axes: Any = None) -> Var:
    """Return the inverse of `fftshift`."""
    return _rolled(x, axes, False)
