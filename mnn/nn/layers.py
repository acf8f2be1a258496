"""Layers: convolution, fully connected, batch normalisation, dropout."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.enums import Padding_Mode
from mnn.expr.modes import recording
from mnn.expr.var import Var
from mnn.nn.module import Module
from mnn.ops.convolution import conv2d
from mnn.ops.matmul import matmul
from mnn.ops.normalization import scale_channels
from mnn.ops.operands import as_var
from mnn.ops.random import uniform_numbers
from mnn.ops.reduce import reduce_mean
from mnn.ops.reference.layout import channel_axis
from mnn.ops.shape import shape as shape_of
from mnn.ops.unary import rsqrt, square

__all__ = ["batch_norm", "conv", "dropout", "linear", "set_seed"]

Array = np.ndarray[Any, Any]

_seeds = itertools.count()
_base = 0


def set_seed(seed: int) -> None:
    """Make initial weights and dropout of everything that follows reproducible."""
    global _seeds, _base
    _base = abs(int(seed))
    _seeds = itertools.count()


def _next_seed() -> tuple[int, int]:
    return (_base, next(_seeds))


def _uniform(shape: Sequence[int], fan_in: int) -> Var:
    """Return a trainable parameter, uniform in +-sqrt(3 / fan_in)."""
    bound = math.sqrt(3.0 / fan_in)
    generator = np.random.Generator(np.random.Philox(list(_next_seed())))
    return _trainable(generator.uniform(-bound, bound, tuple(shape)).astype(np.float32))


def _trainable(array: Array) -> Var:
    var = Var(array)
    var.fix_as_trainable()
    return var


def _pair(name: str, value: Any, what: str) -> tuple[int, int]:
    numbers = (value, value) if isinstance(value, int) else tuple(int(each) for each in value)
    if len(numbers) != 2:
        raise ShapeError(f"{name}: {what} is {value!r}, expected an (x, y) pair.")
    return numbers[0], numbers[1]


def _positive(name: str, **numbers: int) -> None:
    for what, number in numbers.items():
        if number < 1:
            raise ShapeError(f"{name}: {what} is {number}, expected at least 1.")


class conv(Module):  # noqa: N801 - reference name
    """2-D convolution; weight `(out, in, kh, kw)` uniform in +-sqrt(3 / fan_in), bias zeros."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = (1, 1),
        padding: Any = (0, 0),
        dilation: Any = (1, 1),
        depthwise: bool = False,
        bias: bool = True,
        padding_mode: Padding_Mode = Padding_Mode.VALID,
    ) -> None:
        """Make the layer.

        Args:
            in_channels, out_channels: channel counts; equal for a depthwise convolution.
            kernel_size, stride, padding, dilation: an int, or (x, y), that is (width, height).
            depthwise: one kernel per channel.
            bias: add a bias per output channel.
            padding_mode: CAFFE uses `padding`; VALID none; SAME keeps `ceil(size / stride)`.

        Raises:
            ShapeError: a count below 1, or unequal channels of a depthwise convolution.
        """
        super().__init__()
        kernel = _pair("conv", kernel_size, "kernel_size")
        _positive(
            "conv",
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_width=kernel[0],
            kernel_height=kernel[1],
        )
        if depthwise and in_channels != out_channels:
            raise ShapeError(
                f"conv: a depthwise convolution of {in_channels} to {out_channels} channels. "
                "Expected equal numbers."
            )
        self.stride = _pair("conv", stride, "stride")
        self.padding = _pair("conv", padding, "padding")
        self.dilation = _pair("conv", dilation, "dilation")
        self.group = in_channels if depthwise else 1
        mode = Padding_Mode(padding_mode)
        if mode is Padding_Mode.VALID and any(self.padding):
            # VALID with explicit padding is only ever meant as explicit padding.
            mode = Padding_Mode.CAFFE
        self.padding_mode = mode
        per_group = in_channels // self.group
        self.bias = _trainable(np.zeros(out_channels, np.float32)) if bias else None
        self.weight = _uniform(
            (out_channels, per_group, kernel[1], kernel[0]), per_group * kernel[0] * kernel[1]
        )

    def forward(self, x: Any) -> Var:
        """Return the convolution of x, `(N, C, H, W)` or NHWC."""
        return conv2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.group,
            self.padding_mode,
        )


class linear(Module):  # noqa: N801
    """Fully connected layer on the last dimension; weight `(out, in)`, bias `(1, out)`."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        """Make the layer.

        Args:
            in_channels, out_channels: sizes of the last dimension before and after.
            bias: add a bias.

        Raises:
            ShapeError: a size below 1.
        """
        super().__init__()
        _positive("linear", in_channels=in_channels, out_channels=out_channels)
        self.bias = _trainable(np.zeros((1, out_channels), np.float32)) if bias else None
        self.weight = _uniform((out_channels, in_channels), in_channels)

    def forward(self, x: Any) -> Var:
        """Return `x @ weight.T + bias`."""
        product = matmul(x, self.weight, False, True)
        return product if self.bias is None else product + self.bias


class batch_norm(Module):  # noqa: N801
    """Batch normalisation over everything but the channels.

    In training, batch statistics normalise, and `running = momentum * running + (1 - momentum) *
    batch` (population variance). Otherwise the running statistics normalise; they start at 0.
    """

    def __init__(
        self, channels: int, dims: int = 4, momentum: float = 0.99, epsilon: float = 1e-5
    ) -> None:
        """Make the layer.

        Args:
            channels: their number.
            dims: dimensions of the input, 2 to 5.
            momentum: weight of the old running statistics, in [0, 1].
            epsilon: added to the variance.

        Raises:
            ShapeError: a number is out of its range.
        """
        super().__init__()
        _positive("batch_norm", channels=channels)
        if not 2 <= dims <= 5 or not 0 <= momentum <= 1:
            raise ShapeError(
                f"batch_norm: dims {dims} and momentum {momentum}, expected 2..5 and [0, 1]."
            )
        self.channels, self.dims = channels, dims
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        self.gamma = _trainable(np.ones(channels, np.float32))
        self.beta = _trainable(np.zeros(channels, np.float32))
        self.running_variance = _statistic(channels)
        self.running_mean = _statistic(channels)

    def forward(self, x: Any) -> Var:
        """Return x normalised per channel.

        Raises:
            ShapeError: another number of dimensions or channels.
        """
        operand = as_var(x, "batch_norm")
        layout = operand.data_format.layout
        axis = channel_axis(layout, operand.ndim)
        if operand.ndim != self.dims or operand.shape[axis] not in (-1, self.channels):
            raise ShapeError(
                f"batch_norm: found shape {operand.shape} ({layout}), expected {self.dims} "
                f"dimensions with {self.channels} channels."
            )
        if not self.is_training:
            mean, variance = self.running_mean, self.running_variance
        else:
            axes = [each for each in range(operand.ndim) if each != axis]
            mean = reduce_mean(operand, axes)
            centred = scale_channels(operand, mean * 0 + 1, -mean, layout=layout)
            variance = reduce_mean(square(centred), axes)
            self._update(mean, variance)
        factor = self.gamma * rsqrt(variance + self.epsilon)
        result: Var = scale_channels(operand, factor, self.beta - mean * factor, layout=layout)
        return result

    def _update(self, mean: Var, variance: Var) -> None:
        """Replace the running statistics by expressions of this batch."""
        settle([self.running_mean, self.running_variance])
        keep, take = self.momentum, 1.0 - self.momentum
        self.running_variance = _detached(self.running_variance * keep + variance * take)
        self.running_mean = _detached(self.running_mean * keep + mean * take)


def _statistic(count: int) -> Var:
    var = Var(np.zeros(count, np.float32))
    with recording():
        var.fix_as_const()
    return var


def _detached(statistic: Var) -> Var:
    """Return a statistic that was computed already as a constant; a pending one as it is."""
    if statistic._value is not None or statistic._ref is None:
        return Var(statistic._array().copy())
    return statistic


def settle(statistics: Sequence[Var]) -> None:
    """Compute running statistics that are still expressions of an earlier batch."""
    for each in statistics:
        if each._ref is not None and not each._ref.node.is_leaf:
            each.fix_as_const()


class dropout(Module):  # noqa: N801
    """In training, zeroes a fraction of the elements and scales the rest; else passes through."""

    def __init__(self, dropout_ratio: float) -> None:
        """Make the layer.

        Args:
            dropout_ratio: fraction to zero, in [0, 1).

        Raises:
            ShapeError: out of range.
        """
        super().__init__()
        if not 0 <= dropout_ratio < 1:
            raise ShapeError(f"dropout: ratio {dropout_ratio}, expected a number in [0, 1).")
        self.ratio = float(dropout_ratio)

    def forward(self, x: Any) -> Var:
        """Return x, in training with elements dropped."""
        operand = as_var(x, "dropout")
        if not self.is_training or self.ratio == 0:
            return operand
        chance = uniform_numbers(shape_of(operand), seed=_next_seed())
        kept: Var = (chance >= self.ratio) * (1.0 / (1.0 - self.ratio))
        return operand * kept
