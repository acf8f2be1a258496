"""Layers: convolution, fully connected, batch normalisation, dropout."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, SettingError, ShapeError
from mnn.expr.enums import Padding_Mode
from mnn.expr.modes import should_record
from mnn.expr.var import Var, capture
from mnn.nn.module import Module
from mnn.nn.updates import Update, settle, stored
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


def _next_seed() -> tuple[int]:
    # One number, so that a file, which holds two, has room for the draw of a dropout.
    return ((_base * 1_000_003 + next(_seeds)) % 2**31,)


def _uniform(shape: Sequence[int], fan_in: int) -> Var:
    """Return a trainable parameter, uniform in +-sqrt(3 / fan_in)."""
    bound = math.sqrt(3.0 / fan_in)
    generator = np.random.Generator(np.random.Philox(list(_next_seed())))
    return _trainable(generator.uniform(-bound, bound, tuple(shape)).astype(np.float32))


def _trainable(array: Array) -> Var:
    var = Var(array)
    var.fix_as_trainable()
    return var


def _count(name: str, what: str, value: Any, least: int = 1) -> int:
    """Return a whole number given by the user."""
    try:
        number = operator.index(value)
    except TypeError as error:
        raise DTypeError(
            f"{name}: {what} is {value!r}, expected an int of at least {least}."
        ) from error
    if number < least:
        raise ShapeError(f"{name}: {what} is {number}, expected at least {least}.")
    return number


def _pair(name: str, value: Any, what: str, least: int = 1) -> tuple[int, int]:
    """Return an (x, y) pair given as such or as one number for both."""
    numbers = (value, value) if hasattr(value, "__index__") and not np.ndim(value) else value
    if not isinstance(numbers, (list, tuple, np.ndarray)):
        raise DTypeError(f"{name}: {what} is {value!r}, expected an int or an (x, y) pair of ints.")
    if len(numbers) != 2:
        raise ShapeError(f"{name}: {what} is {value!r}, expected an (x, y) pair.")
    return _count(name, what, numbers[0], least), _count(name, what, numbers[1], least)


def _number(name: str, what: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DTypeError(f"{name}: {what} is {value!r}, expected a number.") from error


def _padding_mode(mode: Any) -> Padding_Mode:
    try:
        return Padding_Mode(mode)
    except ValueError as error:
        raise SettingError(
            f"conv: padding_mode is {mode!r}, expected one of "
            f"{[each.name for each in Padding_Mode]} of mnn.expr."
        ) from error


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
            ShapeError: a number out of range, or unequal channels of a depthwise convolution.
            DTypeError: something else than whole numbers.
            SettingError: an unknown padding mode.
        """
        super().__init__()
        in_channels = _count("conv", "in_channels", in_channels)
        out_channels = _count("conv", "out_channels", out_channels)
        kernel = _pair("conv", kernel_size, "kernel_size")
        if depthwise and in_channels != out_channels:
            raise ShapeError(
                f"conv: a depthwise convolution of {in_channels} to {out_channels} channels. "
                "Expected equal numbers."
            )
        self.stride = _pair("conv", stride, "stride")
        self.padding = _pair("conv", padding, "padding", 0)
        self.dilation = _pair("conv", dilation, "dilation")
        self.group = in_channels if depthwise else 1
        mode = _padding_mode(padding_mode)
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
            ShapeError: a size below 1.    DTypeError: a size that is no whole number.
        """
        super().__init__()
        in_channels = _count("linear", "in_channels", in_channels)
        out_channels = _count("linear", "out_channels", out_channels)
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

    _transient = ("_pending",)
    _pending: list[Update]

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
            SettingError, ShapeError: a number is out of its range.    DTypeError: not a number.
        """
        super().__init__()
        self.channels = _count("batch_norm", "channels", channels)
        self.dims = _count("batch_norm", "dims", dims, 2)
        self.momentum = _number("batch_norm", "momentum", momentum)
        self.epsilon = _number("batch_norm", "epsilon", epsilon)
        if self.dims > 5 or not 0 <= self.momentum <= 1 or not 0 <= self.epsilon < math.inf:
            raise SettingError(
                f"batch_norm: dims {dims}, momentum {momentum} and epsilon {epsilon}, expected "
                "2..5, a number in [0, 1] and one of at least 0."
            )
        self.gamma = _trainable(np.ones(self.channels, np.float32))
        self.beta = _trainable(np.zeros(self.channels, np.float32))
        self._own["running_variance"] = stored(np.zeros(self.channels, np.float32))
        self._own["running_mean"] = stored(np.zeros(self.channels, np.float32))
        self._renew()

    @property
    def running_variance(self) -> Var:
        """Running population variance; not trained, but listed and saved with the parameters."""
        settle(self._pending)
        return self._own["running_variance"]

    @property
    def running_mean(self) -> Var:
        """Running mean; not trained, but listed and saved with the parameters."""
        settle(self._pending)
        return self._own["running_mean"]

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
            self._observe(mean, variance)
        factor = self.gamma * rsqrt(variance + self.epsilon)
        result: Var = scale_channels(operand, factor, self.beta - mean * factor, layout=layout)
        return result

    def _observe(self, mean: Var, variance: Var) -> None:
        """Have the running statistics follow this batch: now, or in the next training step."""
        settle(self._pending)
        # What could not be computed yet is continued, not lost.
        bases = {id(each.target): each.next for each in self._pending if not each.applied}
        keep, take = self.momentum, 1.0 - self.momentum
        self._pending = []
        for name, batch in (("running_variance", variance), ("running_mean", mean)):
            target = self._own[name]
            follow = bases.get(id(target), target) * keep + batch * take
            if should_record():
                self._pending.append(Update(target, follow, capture(batch).node))
            else:
                target.write(follow._array())

    def _updates(self) -> list[Update]:
        return self._pending

    def _waiting(self) -> list[Update]:
        return self._pending

    def _renew(self) -> None:
        self._pending = []


class dropout(Module):  # noqa: N801
    """In training, zeroes a fraction of the elements and scales the rest; else passes through."""

    _transient = ("_draw",)
    _draw: Var

    def __init__(self, dropout_ratio: float) -> None:
        """Make the layer.

        Args:
            dropout_ratio: fraction to zero, in [0, 1).

        Raises:
            SettingError: out of range.    DTypeError: not a number.
        """
        super().__init__()
        self.ratio = _number("dropout", "ratio", dropout_ratio)
        if not 0 <= self.ratio < 1:
            raise SettingError(f"dropout: ratio {dropout_ratio}, expected a number in [0, 1).")
        self._renew()

    def forward(self, x: Any) -> Var:
        """Return x, in training with elements dropped."""
        operand = as_var(x, "dropout")
        if not self.is_training or self.ratio == 0:
            return operand
        # A graph that is trained again and again draws anew each time: a step counts up.
        chance = uniform_numbers(shape_of(operand), self._draw, seed=_next_seed())
        kept: Var = (chance >= self.ratio) * (1.0 / (1.0 - self.ratio))
        return operand * kept

    def _updates(self) -> list[Update]:
        return [Update(self._draw, self._draw + 1, capture(self._draw).node)]

    def _renew(self) -> None:
        self.__dict__["_draw"] = stored(np.zeros(1, np.int32))
