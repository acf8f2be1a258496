"""Depthwise convolution kernels, and grouped ones of narrow groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.codegen.kernel import CONSTANT
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import conv
from tests.codegen.convolving import check, labels, windows
from tests.codegen.imaging import RUNNABLE, channels_last, emit_all, result
from tests.codegen.running import filled, run

ONE = ((1, 1), (1, 1))


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [
        ((1, 32, 14, 14), (3, 3), {"pads": ONE}),
        ((2, 33, 9, 11), (3, 3), {"pads": ONE, "stride": (2, 2)}),
        ((1, 24, 9, 11), (5, 5), {"pads": ((2, 2), (2, 2))}),
        ((1, 17, 23, 8), (7, 7), {"pads": ((3, 3), (3, 3))}),
        ((1, 24, 9, 11), (3, 3), {"pads": ((2, 1), (3, 3)), "dilation": (2, 3)}),
        ((1, 40, 12, 10), (3, 3), {"stride": (3, 1), "dilation": (2, 2), "pads": ((2, 2), (0, 1))}),
        ((1, 3, 20, 20), (3, 3), {"pads": ONE}),
        ((1, 1, 6, 6), (2, 2), {}),
        ((2, 20, 50), (9,), {"pads": ((4, 4),)}),
        ((1, 18, 4, 5, 6), (3, 3, 3), {"pads": ((1, 1),) * 3, "stride": (1, 2, 1)}),
        ((1, 16, 1, 1), (3, 3), {"pads": ONE}),
        ((1, 16, 3, 2), (3, 3), {"pads": ((3, 4), (4, 3))}),
    ],
)
def test_each_channel_alone(
    target: str, shape: tuple[int, ...], kernel: Any, options: dict[str, Any]
) -> None:
    for chunk, constant, residual in ((0, True, False), (1, False, True)):
        calls = check(
            shape,
            kernel,
            shape[1],
            target,
            groups=shape[1],
            chunk=chunk,
            constant=constant,
            residual=residual,
            **options,
        )
        assert shape[1] == 1 or "depthwise" in labels(calls)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize(
    ("channels", "outputs", "groups"), [(32, 32, 8), (16, 32, 16), (32, 16, 8), (40, 20, 10)]
)
def test_narrow_groups(target: str, channels: int, outputs: int, groups: int) -> None:
    for constant in (True, False):
        check(
            (2, channels, 9, 10),
            (3, 3),
            outputs,
            target,
            groups=groups,
            pads=ONE,
            constant=constant,
        )


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_shapes(data: st.DataObject) -> None:
    draw = data.draw
    channels = draw(st.sampled_from([1, 2, 5, 8, 16, 19, 32, 50]))
    multiplier = draw(st.sampled_from([1, 1, 2, 3]))
    kernel, lengths, options = draw(windows())
    check(
        (draw(st.integers(0, 2)), channels, *lengths),
        kernel,
        channels * multiplier,
        groups=channels,
        **options,
    )


def test_zeros_around_do_not_meet_infinite_weights() -> None:
    """Padding times an infinite weight is NaN in the reference too; inside, nothing leaks."""
    x = np.ones((1, 16, 5, 5), np.float32)
    x[0, 3, 2, 2] = np.inf
    weight = np.ones((16, 1, 3, 3), np.float32)
    source, out = channels_last(x), result(x.shape)
    calls = conv.lower(
        source,
        filled(weight, CONSTANT),
        out,
        TARGETS["avx2"],
        bias=None,
        stride=(1, 1),
        dilation=(1, 1),
        pads=ONE,
        groups=16,
    )
    (found,) = run(calls, [(source, x)], [out], target=TARGETS["avx2"])
    assert np.isinf(found[0, 3, 1:4, 1:4]).all()
    assert found[0, 3, 0, 0] == 4
    assert found[0, 4].max() == 9


@pytest.mark.parametrize(("kernel", "groups"), [((3, 3), 32), ((5, 5), 32), ((3, 3), 16)])
def test_emits_for_neon(kernel: tuple[int, int], groups: int) -> None:
    x = channels_last(np.zeros((1, 32, 9, 9), np.float32))
    weight = filled(np.zeros((32, 32 // groups, *kernel), np.float32), CONSTANT)
    calls = conv.lower(
        x,
        weight,
        result((1, 32, 10 - kernel[0], 10 - kernel[0])),
        TARGETS["neon"],
        bias=None,
        stride=(1, 1),
        dilation=(1, 1),
        pads=((0, 0), (0, 0)),
        groups=groups,
    )
    assert emit_all(calls, "neon") > 0
