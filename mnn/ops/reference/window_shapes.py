"""Lengths and paddings of convolutions and poolings.

Lengths may be integers or symbols that know `+ - * //`; kernels, strides, dilations and pads are
integers. Rules: CAFFE takes the given pads, VALID takes none, SAME is TensorFlow's (the surplus of
an odd padding goes to the end, which ONNX calls SAME_UPPER). An axis of length 0 stays empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mnn.errors import ShapeError
from mnn.ops.reference.layout import join_shape, split_shape

__all__ = [
    "Pads",
    "conv_output_length",
    "conv_padding",
    "conv_shape",
    "conv_transpose_shape",
    "effective_kernel",
    "pool_output_length",
    "pool_padding",
    "pool_shape",
    "transposed_crop",
    "transposed_output_length",
]

Pads = Sequence[tuple[int, int]]
"""(begin, end) for each spatial axis; negative numbers cut off."""

_MODES = ("CAFFE", "VALID", "SAME")


def _check_mode(name: str, mode: str) -> None:
    if mode not in _MODES:
        raise ShapeError(f"{name}: padding mode {mode!r} is unknown. Use one of {_MODES}.")


def effective_kernel(kernel: Any, dilation: int) -> Any:
    """Return the extent of a kernel whose taps are `dilation` apart."""
    return dilation * (kernel - 1) + 1


def conv_output_length(
    length: Any,
    kernel: Any,
    *,
    stride: int = 1,
    dilation: int = 1,
    pads: tuple[int, int] = (0, 0),
    mode: str = "CAFFE",
    name: str = "conv",
) -> Any:
    """Return the length of a convolution's result along one axis.

    Raises:
        ShapeError: the dilated kernel is longer than the padded input.
    """
    _check_mode(name, mode)
    if isinstance(length, int) and length == 0 and mode != "CAFFE":
        return 0
    if mode == "SAME":
        return (length + stride - 1) // stride
    begin, end = pads if mode == "CAFFE" else (0, 0)
    reach = effective_kernel(kernel, dilation)
    room = length + (begin + end - reach)
    if isinstance(room, int) and room < 0:
        if length == 0:
            return 0
        raise ShapeError(
            f"{name}: the kernel covers {reach} positions (size {kernel}, dilation {dilation}) "
            f"but the input has {length} plus padding {begin} + {end}. "
            "Pad more or use a smaller kernel."
        )
    return room // stride + 1


def conv_padding(
    length: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    pads: tuple[int, int] = (0, 0),
    mode: str = "CAFFE",
) -> tuple[int, int]:
    """Return the padding (begin, end) of one axis that `mode` means."""
    _check_mode("conv", mode)
    if mode != "SAME":
        return (pads[0], pads[1]) if mode == "CAFFE" else (0, 0)
    steps = -(-length // stride) - 1
    total = max(0, steps * stride + effective_kernel(kernel, dilation) - length)
    return total // 2, total - total // 2


def transposed_output_length(
    length: Any,
    kernel: Any,
    *,
    stride: int = 1,
    dilation: int = 1,
    pads: tuple[int, int] = (0, 0),
    output_padding: int = 0,
    mode: str = "CAFFE",
    name: str = "conv_transpose",
) -> Any:
    """Return the length of a transposed convolution's result along one axis.

    `pads` are cut off the full result; `output_padding` is added at its end. In SAME mode the
    result is `length * stride`, whatever the kernel.

    Raises:
        ShapeError: more is cut off than there is.
    """
    _check_mode(name, mode)
    if isinstance(length, int) and length == 0:
        return 0
    if mode == "SAME":
        return length * stride
    reach = effective_kernel(kernel, dilation)
    result = (length - 1) * stride + (reach - pads[0] - pads[1] + output_padding)
    if isinstance(result, int) and result < 0:
        raise ShapeError(
            f"{name}: {pads[0]} + {pads[1]} positions are to be cut off a result of "
            f"{result + pads[0] + pads[1]} (input length {length}, kernel {kernel}, stride "
            f"{stride}, dilation {dilation}). Reduce the padding."
        )
    return result


def transposed_crop(
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    pads: tuple[int, int] = (0, 0),
    mode: str = "CAFFE",
) -> int:
    """Return how many positions a transposed convolution cuts off the front of its full result.

    In SAME mode this is the padding of the SAME convolution it is the adjoint of.
    """
    _check_mode("conv_transpose", mode)
    if mode != "SAME":
        return pads[0]
    surplus: int = effective_kernel(kernel, dilation) - stride
    return max(0, surplus) // 2


def pool_output_length(
    length: Any,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    pads: tuple[int, int] = (0, 0),
    mode: str = "CAFFE",
    ceil_mode: bool = False,
    clip: bool = True,
    name: str = "pool",
) -> Any:
    """Return the number of windows along one axis.

    A kernel longer than the padded input counts as exactly as long (when the length is a number).
    `ceil_mode` matters in CAFFE mode only: a last window may then hang over the end; with `clip`
    it is left out if it would start behind the last input position, in the end padding (the rule
    of ONNX and PyTorch); without, it stays (the reference package's rule).

    Raises:
        ShapeError: unknown mode.
    """
    _check_mode(name, mode)
    padded = length + (pads[0] + pads[1])
    reach = effective_kernel(kernel, dilation)
    if isinstance(length, int):
        if length == 0:
            return 0
        reach = min(reach, padded)
    if mode == "SAME":
        return (padded + (stride - 1)) // stride
    if mode == "VALID":
        return (padded + (stride - reach)) // stride
    if not ceil_mode:
        return (padded - reach) // stride + 1
    overhang = pads[1] + stride - reach
    if clip and isinstance(overhang, int):
        overhang = min(0, overhang)
    return (length + (pads[0] + overhang + stride - 1)) // stride


def pool_padding(
    length: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    pads: tuple[int, int] = (0, 0),
    mode: str = "CAFFE",
) -> tuple[int, int]:
    """Return the padding (begin, end) of one axis of a pooling; VALID windows start at 0."""
    _check_mode("pool", mode)
    if mode == "CAFFE":
        return pads[0], pads[1]
    if mode == "VALID":
        return 0, pads[0] + pads[1]
    count = pool_output_length(length, kernel, stride=stride, pads=pads, mode=mode)
    reach = effective_kernel(kernel, dilation)
    total = max(0, (count - 1) * stride + reach - length)
    return total // 2, total - total // 2


def _check_rank(name: str, rank: int, **attributes: Sequence[Any]) -> None:
    if rank < 1:
        raise ShapeError(
            f"{name}: the input has no spatial axis, expected one at least. "
            "Reshape it to (batch, channels, 1, 1)."
        )
    for what, values in attributes.items():
        if len(values) != rank:
            raise ShapeError(
                f"{name}: {what} has {len(values)} entries for {rank} spatial axes. "
                "Give one entry for each axis, in axis order."
            )


def _check_positive(name: str, **attributes: Sequence[Any]) -> None:
    for what, values in attributes.items():
        if any(isinstance(value, int) and value < 1 for value in values):
            raise ShapeError(f"{name}: {what} is {tuple(values)}, expected numbers of at least 1.")


def conv_shape(
    input_shape: tuple[Any, ...],
    weight_shape: tuple[Any, ...],
    *,
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    mode: str = "CAFFE",
    groups: int = 1,
    layout: str = "NCHW",
    name: str = "conv",
) -> tuple[Any, ...]:
    """Return the shape of a convolution of any spatial rank.

    Args:
        input_shape: (batch, channels, lengths...) in the order of `layout`; may hold symbols.
        weight_shape: (out_channels, channels / groups, kernel lengths...), whatever the layout.

    Raises:
        ShapeError: ranks, channels, groups or lengths do not fit.
    """
    batch, channels, lengths = split_shape(input_shape, layout)
    rank = len(lengths)
    if len(weight_shape) != rank + 2:
        raise ShapeError(
            f"{name}: weight {weight_shape} has {len(weight_shape)} axes, expected {rank + 2} for "
            f"input {input_shape}. Weights are (out_channels, in_channels / groups, kernel...)."
        )
    out_channels, group_channels, *kernel = weight_shape
    _check_rank(name, rank, stride=stride, dilation=dilation, pads=pads)
    _check_positive(name, stride=stride, dilation=dilation, groups=(groups,), kernel=kernel)
    needed = group_channels * groups
    if isinstance(channels, int) and isinstance(needed, int) and channels != needed:
        raise ShapeError(
            f"{name}: input has {channels} channels but weight expects {needed} "
            f"(input {input_shape}, weight {weight_shape}, groups {groups}, layout {layout}). "
            "Check the channel order or pass groups=."
        )
    if isinstance(out_channels, int) and out_channels % groups:
        raise ShapeError(
            f"{name}: {out_channels} output channels do not divide into {groups} groups. "
            "Expected a multiple. Check groups= and the weight."
        )
    found = tuple(
        conv_output_length(
            length, size, stride=step, dilation=spread, pads=pad, mode=mode, name=name
        )
        for length, size, step, spread, pad in zip(
            lengths, kernel, stride, dilation, pads, strict=True
        )
    )
    return join_shape(batch, out_channels, found, layout)


def conv_transpose_shape(
    input_shape: tuple[Any, ...],
    weight_shape: tuple[Any, ...],
    *,
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    output_padding: Sequence[int],
    mode: str = "CAFFE",
    groups: int = 1,
    layout: str = "NCHW",
    output_lengths: Sequence[Any] | None = None,
    name: str = "conv_transpose",
) -> tuple[Any, ...]:
    """Return the shape of a transposed convolution of any spatial rank.

    Args:
        input_shape: (batch, channels, lengths...) in the order of `layout`; may hold symbols.
        weight_shape: (channels, out_channels / groups, kernel lengths...), whatever the layout.
        output_lengths: spatial lengths that replace the computed ones.

    Raises:
        ShapeError: ranks, channels, groups or lengths do not fit.
    """
    batch, channels, lengths = split_shape(input_shape, layout)
    rank = len(lengths)
    if len(weight_shape) != rank + 2:
        raise ShapeError(
            f"{name}: weight {weight_shape} has {len(weight_shape)} axes, expected {rank + 2} for "
            f"input {input_shape}. Weights are (in_channels, out_channels / groups, kernel...)."
        )
    in_channels, group_channels, *kernel = weight_shape
    _check_rank(
        name, rank, stride=stride, dilation=dilation, pads=pads, output_padding=output_padding
    )
    _check_positive(name, stride=stride, dilation=dilation, groups=(groups,), kernel=kernel)
    both_known = isinstance(channels, int) and isinstance(in_channels, int)
    if both_known and (channels != in_channels or channels % groups):
        raise ShapeError(
            f"{name}: input has {channels} channels but weight expects {in_channels} in {groups} "
            f"groups (input {input_shape}, weight {weight_shape}, layout {layout}). "
            "Check the channel order or pass groups=."
        )
    if output_lengths is not None:
        _check_rank(name, rank, output_lengths=output_lengths)
        return join_shape(batch, group_channels * groups, tuple(output_lengths), layout)
    found = tuple(
        transposed_output_length(
            length,
            size,
            stride=step,
            dilation=spread,
            pads=pad,
            output_padding=extra,
            mode=mode,
            name=name,
        )
        for length, size, step, spread, pad, extra in zip(
            lengths, kernel, stride, dilation, pads, output_padding, strict=True
        )
    )
    return join_shape(batch, group_channels * groups, found, layout)


def pool_shape(
    input_shape: tuple[Any, ...],
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Pads,
    dilation: Sequence[int] | None = None,
    mode: str = "CAFFE",
    ceil_mode: bool = False,
    clip: bool = True,
    layout: str = "NCHW",
    name: str = "pool",
) -> tuple[Any, ...]:
    """Return the shape of a pooling of any spatial rank.

    Raises:
        ShapeError: ranks do not fit, or a kernel, stride or dilation is below 1.
    """
    batch, channels, lengths = split_shape(input_shape, layout)
    spread = (1,) * len(kernel) if dilation is None else dilation
    _check_rank(name, len(lengths), kernel=kernel, stride=stride, pads=pads, dilation=spread)
    _check_positive(name, kernel=kernel, stride=stride, dilation=spread)
    if any(side < 0 for pad in pads for side in pad):
        raise ShapeError(
            f"{name}: pads are {tuple(pads)}, expected no negative numbers. Crop first."
        )
    found = tuple(
        pool_output_length(
            length,
            size,
            stride=step,
            dilation=gap,
            pads=pad,
            mode=mode,
            ceil_mode=ceil_mode,
            clip=clip,
            name=name,
        )
        for length, size, step, gap, pad in zip(lengths, kernel, stride, spread, pads, strict=True)
    )
    return join_shape(batch, channels, found, layout)
