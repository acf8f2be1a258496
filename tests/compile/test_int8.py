"""Quantised graphs: codes stay codes between operators, and results are those of the references.

Steps are powers of two, so that the float32 references are exact and must be met bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

from mnn.compile.int8 import Scheme, weight_codes
from mnn.expr.var import Var
from mnn.ops import activation, convolution, joining, pooling, quantize
from tests.compile.recording import by_reference, labels, segment

Array = np.ndarray[Any, Any]
ONE = ((1, 1), (1, 1))
NONE = ((0, 0), (0, 0))


def rounded(x: Var, step: float, zero: int = 0, minimum: int = -127, maximum: int = 127) -> Var:
    """Return x rounded to codes."""
    result: Var = quantize.fake_quantize(
        x,
        Var(np.array([step], np.float32)),
        Var(np.array([zero], np.float32)),
        minimum=minimum,
        maximum=maximum,
    )
    return result


def weight(seed: int, *shape: int, step: float = 2.0**-7) -> Var:
    """Return weights that are codes of int8 times powers of two."""
    rng = np.random.default_rng(seed)
    steps = step * 2.0 ** rng.integers(-1, 2, shape[0])
    codes = rng.integers(-127, 128, shape)
    made = codes * steps.reshape(-1, *(1,) * (len(shape) - 1))
    return Var(made.astype(np.float32))


def bias(count: int) -> Var:
    """Return biases that are multiples of a power of two."""
    return Var((np.arange(count) % 7 - 3).astype(np.float32) / 16)


def conv(x: Var, factors: Var, pads: Any = ONE, stride: int = 1, groups: int = 1) -> Var:
    """Return a convolution with a bias."""
    result: Var = convolution.conv(
        x,
        factors,
        bias(factors.shape[0]),
        stride=(stride, stride),
        dilation=(1, 1),
        pads=pads,
        groups=groups,
    )
    return result


def picture(*shape: int) -> Array:
    """Return floats of few bits, some of them beyond the range of codes."""
    return (np.random.default_rng(5).integers(-600, 600, shape) / 64).astype(np.float32)


def network(x: Var) -> Var:
    """Return a small network with everything that stays on codes."""
    x = rounded(x, 2.0**-4, 3)
    x = rounded(activation.relu(conv(x, weight(0, 32, 3, 3, 3), stride=2)), 2.0**-2, -5)
    x = pooling.max_pool(x, kernel=(3, 3), stride=(2, 2), pads=ONE)
    x = rounded(x, 2.0**-2, -5)
    skip = x
    x = rounded(activation.relu6(conv(x, weight(1, 64, 32, 1, 1), NONE)), 2.0**-5, -127)
    x = rounded(conv(x, weight(2, 64, 1, 3, 3), groups=64), 2.0**-3, 10)
    x = rounded(conv(x, weight(3, 32, 64, 1, 1), NONE), 2.0**-1)
    return rounded(activation.relu(x + skip), 2.0**-1, 2)


def test_chains_stay_on_codes() -> None:
    x = picture(1, 3, 30, 26)
    made = segment(network, [x])
    (want,) = by_reference(network, [x])
    for threads in (1, 2):
        (got,) = made.run([x], threads=threads, low=False)
        np.testing.assert_array_equal(got, want)
    found = labels(made, [x])
    assert sum("int8" in each and "conv" in each for each in found) == 4
    # The last convolution adds the other branch and makes the result; nothing else is left.
    loops = [each for each in found if not each.startswith(("conv", "pool", "relayout"))]
    assert len(loops) <= 2, found


def test_joined_branches_are_rounded_before() -> None:
    def function(x: Var) -> Var:
        x = rounded(x, 2.0**-4)
        one = rounded(conv(x, weight(0, 16, 8, 3, 3)), 2.0**-2)
        two = rounded(conv(x, weight(1, 16, 8, 1, 1), NONE), 2.0**-3)
        both = rounded(joining.concat([one, two], 1), 2.0**-2)
        return rounded(conv(both, weight(2, 8, 32, 3, 3)), 1.0)

    x = picture(2, 8, 9, 7)
    made = segment(function, [x])
    np.testing.assert_array_equal(
        made.run([x], threads=1, low=False)[0], by_reference(function, [x])[0]
    )
    assert sum("int8" in each and "conv" in each for each in labels(made, [x])) == 3


def test_codes_of_public_functions() -> None:
    def function(x: Var) -> Var:
        codes = quantize.quant(x, 16.0, -127, 127, 4)
        real = quantize.dequant(codes, 2.0**-4, 4)
        made = conv(real, weight(0, 24, 16, 3, 3))
        return quantize.quant(activation.relu(made), 2.0, -128, 127, -128)

    x = picture(1, 16, 8, 8)
    made = segment(function, [x])
    (got,), (want,) = made.run([x], threads=1, low=False), by_reference(function, [x])
    assert got.dtype == np.int8
    np.testing.assert_array_equal(got, want)
    assert any("int8" in each and "conv" in each for each in labels(made, [x]))


def test_codes_with_parameters_of_each_channel() -> None:
    def function(x: Var) -> Var:
        codes = quantize.quant(x, np.array([4.0, 8.0, 2.0], np.float32))
        return quantize.dequant(codes, np.array([0.25, 0.125, 0.5], np.float32))

    x = picture(2, 3, 5, 4)
    made = segment(function, [x])
    np.testing.assert_array_equal(
        made.run([x], threads=1, low=False)[0], by_reference(function, [x])[0]
    )


@pytest.mark.parametrize(
    ("inputs", "factors", "groups"),
    [
        (12, np.random.default_rng(0).standard_normal((16, 12, 3, 3)), 1),
        (16, np.random.default_rng(0).integers(-127, 128, (16, 2, 3, 3)), 8),
    ],
)
def test_other_convolutions_stay_float(inputs: int, factors: Array, groups: int) -> None:
    def function(x: Var) -> Var:
        return conv(rounded(x, 0.5), Var(factors.astype(np.float32)), groups=groups)

    x = picture(1, inputs, 6, 6)
    made = segment(function, [x])
    got, want = made.run([x], threads=1, low=False)[0], by_reference(function, [x])[0]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())
    assert not any("int8" in each and "conv" in each for each in labels(made, [x]))


def test_not_a_number_stays_where_values_are_only_rounded() -> None:
    x = np.array([[np.nan, 1.3, np.inf, -np.inf]], np.float32)
    made = segment(lambda each: rounded(each, 0.5), [x])
    np.testing.assert_array_equal(
        made.run([x], threads=1, low=False)[0], np.float32([[np.nan, 1.5, 63.5, -63.5]])
    )


def test_weights_are_recognised() -> None:
    rng = np.random.default_rng(0)
    for largest in (127, 128, 100, 3, 1):
        codes = rng.integers(-largest, min(largest, 127) + 1, (5, 40, 3)).astype(np.int8)
        codes[:, 0, 0] = -largest
        codes[2] = 0
        steps = rng.uniform(1e-4, 3, 5).astype(np.float32)
        made = codes.astype(np.float32) * steps.reshape(-1, 1, 1)
        found = weight_codes(made)
        assert found is not None
        again = found[0].astype(np.float64) * found[1].reshape(-1, 1, 1)
        np.testing.assert_allclose(again, made, rtol=1e-6)
    assert weight_codes(rng.standard_normal((4, 300)).astype(np.float32)) is None
    assert weight_codes(np.array([[0.1, np.inf]], np.float32)) is None
    assert weight_codes(np.zeros((2, 3), np.float32)) is not None


def test_schemes() -> None:
    one = np.ones(1, np.float32)
    assert Scheme.of(one, None) == Scheme(1.0, 0)
    assert Scheme.of(one * 0.5, one * -3, -127, 127) == Scheme(0.5, -3, -127, 127)
    for step, zero in ((one * 0, None), (one * np.inf, None), (one, one / 2), (one, one * 200)):
        assert Scheme.of(step, zero) is None
    assert Scheme.of(np.ones(3, np.float32), None) is None
    assert Scheme.of(one, None, -200, 127) is None
    assert Scheme.of(one * 1e-42, None) is None
