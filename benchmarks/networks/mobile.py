"""Small image classifiers: squeeze-excite, SiLU, hard-swish, channel shuffle."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from networks.blocks import Residual, SqueezeExcite, conv_norm
from networks.classic import classifier

__all__ = ["efficientnet", "mobilenet_v3", "shufflenet_v2"]


def _bottleneck(
    channels: int,
    hidden: int,
    out_channels: int,
    kernel: int,
    stride: int,
    activation: type[nn.Module],
    excite: nn.Module,
) -> nn.Module:
    branch = nn.Sequential(
        conv_norm(channels, hidden, activation=activation) if hidden != channels else nn.Identity(),
        conv_norm(hidden, hidden, kernel, stride, groups=hidden, activation=activation),
        excite,
        conv_norm(hidden, out_channels, activation=None),
    )
    return Residual(branch) if stride == 1 and channels == out_channels else branch


def efficientnet() -> nn.Module:
    """Inverted bottlenecks with squeeze-excite and SiLU, in the sizes of EfficientNet-B0."""
    layers: list[nn.Module] = [conv_norm(3, 32, 3, 2, activation=nn.SiLU)]
    channels = 32
    stages = [
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    ]
    for expansion, out_channels, repeats, stride, kernel in stages:
        for number in range(repeats):
            hidden = channels * expansion
            excite = SqueezeExcite(hidden, channels // 4, nn.SiLU)
            step = stride if number == 0 else 1
            layers.append(
                _bottleneck(channels, hidden, out_channels, kernel, step, nn.SiLU, excite)
            )
            channels = out_channels
    layers.append(conv_norm(channels, 1280, activation=nn.SiLU))
    return classifier(layers, 1280)


def mobilenet_v3() -> nn.Module:
    """Bottlenecks with hard-swish and hard-sigmoid gates, in the sizes of MobileNetV3-Small."""
    layers: list[nn.Module] = [conv_norm(3, 16, 3, 2, activation=nn.Hardswish)]
    channels = 16
    stages = [
        (3, 16, 16, True, nn.ReLU, 2),
        (3, 72, 24, False, nn.ReLU, 2),
        (3, 88, 24, False, nn.ReLU, 1),
        (5, 96, 40, True, nn.Hardswish, 2),
        *[(5, 240, 40, True, nn.Hardswish, 1)] * 2,
        (5, 120, 48, True, nn.Hardswish, 1),
        (5, 144, 48, True, nn.Hardswish, 1),
        (5, 288, 96, True, nn.Hardswish, 2),
        *[(5, 576, 96, True, nn.Hardswish, 1)] * 2,
    ]
    for kernel, hidden, out_channels, gated, activation, stride in stages:
        excite = (
            SqueezeExcite(hidden, max(8, hidden // 32 * 8), gate=nn.Hardsigmoid)
            if gated
            else nn.Identity()
        )
        layers.append(
            _bottleneck(channels, hidden, out_channels, kernel, stride, activation, excite)
        )
        channels = out_channels
    layers.append(conv_norm(channels, 576, activation=nn.Hardswish))
    return classifier(layers, 576)


class _Shuffle(nn.Module):
    """Half of the channels pass, half are convolved, then both are interleaved."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.stride = stride
        entry = channels if stride > 1 else half
        self.convolved = nn.Sequential(
            conv_norm(entry, half),
            conv_norm(half, half, 3, stride, groups=half, activation=None),
            conv_norm(half, half),
        )
        self.passed = (
            nn.Sequential(
                conv_norm(channels, channels, 3, stride, groups=channels, activation=None),
                conv_norm(channels, half),
            )
            if stride > 1
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, 1) if self.stride == 1 else (x, x)
        both = torch.cat([self.passed(first), self.convolved(second)], 1)
        batch, channels, height, width = both.shape
        pairs = both.reshape(batch, 2, channels // 2, height, width).transpose(1, 2)
        return pairs.reshape(batch, channels, height, width)


def shufflenet_v2() -> nn.Module:
    """Channel split and shuffle, in the sizes of ShuffleNetV2 x1.0."""
    layers: list[nn.Module] = [conv_norm(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)]
    channels = 24
    for out_channels, repeats in ((116, 4), (232, 8), (464, 4)):
        for number in range(repeats):
            layers.append(_Shuffle(channels, out_channels, 2 if number == 0 else 1))
            channels = out_channels
    layers.append(conv_norm(channels, 1024))
    return classifier(layers, 1024)
