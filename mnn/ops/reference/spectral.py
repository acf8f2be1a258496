"""Short-time Fourier transform."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.ops.reference.precision import Array, float_types

__all__ = ["stft", "stft_shape"]


def stft_shape(
    x_shape: tuple[Any, ...], window: int, *, hop: int, onesided: bool = True
) -> tuple[Any, ...]:
    """Return (..., frames, bins, 2); the length may be a symbol.

    Raises:
        ShapeError: no time axis, an empty window or a hop below 1.
    """
    if not x_shape or window < 1 or hop < 1:
        raise ShapeError(
            f"stft: signal {x_shape}, window of {window} and hop of {hop} samples. Expected a time "
            "axis and lengths of at least 1."
        )
    length = x_shape[-1]
    frames = (length - window) // hop + 1
    if isinstance(frames, int) and frames < 0:
        frames = 0
    return (*x_shape[:-1], frames, window // 2 + 1 if onesided else window, 2)


def stft(x: Array, window: Array, *, hop: int, onesided: bool = True) -> Array:
    """Return the spectra of overlapping frames: (..., frames, bins, 2) with (real, imaginary).

    Args:
        x: (..., time), real; frames start every `hop` samples and are not padded.
        window: (length of a frame,), multiplied with each frame.
        onesided: only the first length // 2 + 1 bins; the others are their conjugates.

    Raises:
        ShapeError: window is not 1-D, or a length is below 1.    DTypeError: not floating-point.
    """
    result, work = float_types("stft", x, window)
    if window.ndim != 1:
        raise ShapeError(f"stft: window has shape {window.shape}, expected one axis. Flatten it.")
    shape = stft_shape(x.shape, window.size, hop=hop, onesided=onesided)
    if 0 in shape:
        return np.zeros(shape, result)
    frames = np.lib.stride_tricks.sliding_window_view(
        x.astype(work, copy=False), window.size, axis=-1
    )[..., ::hop, :]
    transform = np.fft.rfft if onesided else np.fft.fft
    spectra = transform(frames * window.astype(work))
    found: Array = np.stack([spectra.real, spectra.imag], axis=-1)
    return found.astype(result, copy=False)
