"""The usual image classifiers: MobileNet V1 and V2, SqueezeNet, ResNets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from networks.blocks import Residual, conv_norm

__all__ = [
    "classifier",
    "mobilenet_v1",
    "mobilenet_v2",
    "resnet18",
    "resnet50",
    "squeezenet11",
]

CLASSES = 1000


class Means(nn.Module):
    """Means over the picture, `(batch, channels)`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def classifier(layers: list[nn.Module], channels: int) -> nn.Sequential:
    """Return the layers followed by global means and a linear layer."""
    return nn.Sequential(*layers, Means(), nn.Linear(channels, CLASSES))


def mobilenet_v1() -> nn.Module:
    """Depthwise-separable convolutions (Howard et al., 2017)."""
    layers: list[nn.Module] = [conv_norm(3, 32, 3, 2)]
    channels = 32
    stages = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
    for out_channels, stride in [*stages, (1024, 2), (1024, 1)]:
        layers.append(conv_norm(channels, channels, 3, stride, groups=channels))
        layers.append(conv_norm(channels, out_channels))
        channels = out_channels
    return classifier(layers, channels)


def _inverted(channels: int, out_channels: int, stride: int, expansion: int) -> nn.Module:
    hidden = channels * expansion
    branch = nn.Sequential(
        conv_norm(channels, hidden, activation=nn.ReLU6) if expansion > 1 else nn.Identity(),
        conv_norm(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6),
        conv_norm(hidden, out_channels, activation=None),
    )
    return Residual(branch) if stride == 1 and channels == out_channels else branch


def mobilenet_v2() -> nn.Module:
    """Inverted residuals with linear bottlenecks (Sandler et al., 2018)."""
    layers: list[nn.Module] = [conv_norm(3, 32, 3, 2, activation=nn.ReLU6)]
    channels = 32
    stages = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]
    for expansion, out_channels, repeats, stride in stages:
        for number in range(repeats):
            layers.append(
                _inverted(channels, out_channels, stride if number == 0 else 1, expansion)
            )
            channels = out_channels
    layers.append(conv_norm(channels, 1280, activation=nn.ReLU6))
    return classifier(layers, 1280)


class _Fire(nn.Module):
    """A narrow 1x1 convolution, then 1x1 and 3x3 side by side."""

    def __init__(self, channels: int, narrow: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(channels, narrow, 1), nn.ReLU())
        self.point = nn.Sequential(nn.Conv2d(narrow, wide, 1), nn.ReLU())
        self.square = nn.Sequential(nn.Conv2d(narrow, wide, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        return torch.cat([self.point(x), self.square(x)], 1)


def squeezenet11() -> nn.Module:
    """SqueezeNet 1.1 (Iandola et al., 2016)."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [_Fire(64, 16, 64), _Fire(128, 16, 64), nn.MaxPool2d(3, 2)]
    layers += [_Fire(128, 32, 128), _Fire(256, 32, 128), nn.MaxPool2d(3, 2)]
    layers += [_Fire(256, 48, 192), _Fire(384, 48, 192), _Fire(384, 64, 256), _Fire(512, 64, 256)]
    layers += [nn.Conv2d(512, CLASSES, 1), nn.ReLU(), Means()]
    return nn.Sequential(*layers)


def _resnet(repeats: tuple[int, ...], bottleneck: bool) -> nn.Module:
    layers: list[nn.Module] = [conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, (count, width) in enumerate(zip(repeats, (64, 128, 256, 512), strict=True)):
        out_channels = width * 4 if bottleneck else width
        for number in range(count):
            stride = 2 if stage and number == 0 else 1
            if bottleneck:
                branch = nn.Sequential(
                    conv_norm(channels, width),
                    conv_norm(width, width, 3, stride),
                    conv_norm(width, out_channels, activation=None),
                )
            else:
                branch = nn.Sequential(
                    conv_norm(channels, width, 3, stride),
                    conv_norm(width, width, 3, activation=None),
                )
            same = stride == 1 and channels == out_channels
            shortcut = (
                None if same else conv_norm(channels, out_channels, 1, stride, activation=None)
            )
            layers.append(Residual(branch, shortcut, nn.ReLU()))
            channels = out_channels
    return classifier(layers, channels)


def resnet18() -> nn.Module:
    """Residual network of 3x3 convolutions (He et al., 2015)."""
    return _resnet((2, 2, 2, 2), bottleneck=False)


def resnet50() -> nn.Module:
    """Residual network of bottlenecks (He et al., 2015)."""
    return _resnet((3, 4, 6, 3), bottleneck=True)
