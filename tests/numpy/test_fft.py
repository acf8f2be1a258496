"""Fourier transforms give NumPy's results in NumPy's types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn import expr
from tests.numpy.agreement import agree
from tests.numpy.differential import EVERY, arrays, quiet, same, tried
from tests.numpy.families import alike

ALONG_ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
ALONG_TWO = ["fft2", "ifft2", "rfft2", "irfft2"]
ALONG_SEVERAL = ["fftn", "ifftn", "rfftn", "irfftn"]
NARROW = {"complex128": "complex64", "float64": "float32"}


def agrees(name: str, array: Any, **options: Any) -> None:
    """Assert that a transform gives NumPy's values; integers are computed as float32."""
    want = quiet(getattr(np.fft, name), array, **options)
    have = quiet(getattr(mnp.fft, name), mnp.asarray(array), **options)
    if isinstance(want, Exception) or isinstance(have, Exception):
        same(want, have)
        return
    have = np.asarray(have)
    assert have.shape == want.shape
    wanted = want.dtype.name
    if array.dtype.kind in "biu":
        wanted = NARROW[wanted]
    assert have.dtype.name == wanted
    if not array.size:
        # NumPy leaves such results as the memory was.
        np.testing.assert_array_equal(have, 0)
        return
    tolerance = 1e-3 if have.dtype.itemsize // (2 if have.dtype.kind == "c" else 1) < 8 else 1e-12
    scale = max(np.abs(want).max(initial=0), 1)
    np.testing.assert_allclose(have / scale, want / scale, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ALONG_ONE)
@tried
@given(
    arrays(EVERY, special=0),
    st.one_of(st.none(), st.integers(-1, 7)),
    st.integers(-3, 2),
    st.sampled_from([None, "ortho", "forward", "backward", "nonsense"]),
)
def test_along_one_axis(name: str, array: Any, n: int | None, axis: int, norm: Any) -> None:
    agrees(name, array, n=n, axis=axis, norm=norm)


@pytest.mark.parametrize("name", ALONG_TWO + ALONG_SEVERAL)
@tried
@given(
    arrays(EVERY, ranks=(1, 3), special=0),
    st.sampled_from([None, (-2, -1), (0, 1), (1, 0), (0,), (0, 5)]),
    st.sampled_from([None, "ortho", "forward"]),
)
def test_along_several_axes(name: str, array: Any, axes: Any, norm: Any) -> None:
    if axes is not None or name in ALONG_SEVERAL:
        agrees(name, array, axes=axes, norm=norm)
    agrees(name, array, s=(3, 2), axes=(0, -1), norm=norm)


@tried
@given(arrays(EVERY), st.sampled_from([None, 0, -1, (0, -1), (), 3]))
def test_shifts(array: Any, axes: Any) -> None:
    for name in ("fftshift", "ifftshift"):
        alike(lambda np, a, n=name: getattr(np.fft, n)(a, axes), array)


def test_frequencies() -> None:
    for n in (1, 4, 5):
        for name in ("fftfreq", "rfftfreq"):
            alike(lambda np, n=n, name=name: getattr(np.fft, name)(n))
            alike(lambda np, n=n, name=name: getattr(np.fft, name)(n, d=0.1, device="cpu"))
            assert getattr(mnp.fft, name)(n).dtype == np.float32
            assert getattr(mnp.fft, name)(n, np.float64(2)).dtype == np.float64
    alike(lambda np: np.fft.fftfreq(2.5))
    with pytest.raises(ValueError, match="device"):
        mnp.fft.fftfreq(3, device="gpu")


def test_out() -> None:
    signal = np.arange(4, dtype=np.float32)
    out = mnp.zeros(4, np.complex64)
    assert mnp.fft.fft(signal, out=out) is out
    agree(np.fft.fft(signal), out)
    with pytest.raises(TypeError):
        mnp.fft.fft(signal, out=mnp.zeros(4))
    with pytest.raises(ValueError, match="out"):
        mnp.fft.fft(signal, out=mnp.zeros(3, np.complex64))


def test_recorded_graphs_are_read() -> None:
    expr.lazy_eval(True)
    place = expr.placeholder([4])
    place.write(np.arange(4, dtype=np.float32))
    np.testing.assert_allclose(mnp.fft.fft(place * 2), np.fft.fft(np.arange(4) * 2), atol=1e-5)
