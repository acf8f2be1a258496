"""Networks on pictures: dense connections, groups, masks, wide kernels, upscaling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.blocks import Residual, conv_norm
from networks.classic import classifier

__all__ = ["convnext", "densenet", "resnext", "super_resolution", "unet"]


class _Dense(nn.Module):
    """Normalise first, then 1x1 and 3x3; the result is appended to the input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            conv_norm(channels, 4 * growth),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.body(x)], 1)


def densenet() -> nn.Module:
    """Dense connections with normalisation before the convolutions (a small DenseNet)."""
    growth, channels = 24, 48
    layers: list[nn.Module] = [conv_norm(3, channels, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for stage, repeats in enumerate((6, 12, 16, 12)):
        if stage:
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
            layers += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
        for _ in range(repeats):
            layers.append(_Dense(channels, growth))
            channels += growth
    layers += [nn.BatchNorm2d(channels), nn.ReLU()]
    return classifier(layers, channels)


def resnext() -> nn.Module:
    """Bottlenecks whose 3x3 convolutions work in 32 groups."""
    layers: list[nn.Module] = [conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, (repeats, width) in enumerate(((2, 128), (2, 256), (2, 512), (2, 1024))):
        for number in range(repeats):
            stride = 2 if stage and number == 0 else 1
            branch = nn.Sequential(
                conv_norm(channels, width),
                conv_norm(width, width, 3, stride, groups=32),
                conv_norm(width, 2 * width, activation=None),
            )
            same = stride == 1 and channels == 2 * width
            shortcut = None if same else conv_norm(channels, 2 * width, 1, stride, activation=None)
            layers.append(Residual(branch, shortcut, nn.ReLU()))
            channels = 2 * width
    return classifier(layers, channels)


class _UNet(nn.Module):
    """Encoder and decoder with skips; upsampling alternates between bilinear and transposed."""

    def __init__(self, width: int = 24, depth: int = 4) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        self.merge = nn.ModuleList()
        channels = 3
        for level in range(depth):
            self.down.append(self._pair(channels, width << level))
            channels = width << level
        self.bottom = self._pair(channels, 2 * channels)
        channels *= 2
        for level in reversed(range(depth)):
            if level % 2:
                grow: nn.Module = nn.Sequential(
                    nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
                    conv_norm(channels, channels // 2),
                )
            else:
                grow = nn.ConvTranspose2d(channels, channels // 2, 2, 2)
            self.up.append(grow)
            self.merge.append(self._pair(channels, channels // 2))
            channels //= 2
        self.head = nn.Conv2d(channels, 2, 1)

    @staticmethod
    def _pair(channels: int, out_channels: int) -> nn.Module:
        return nn.Sequential(
            conv_norm(channels, out_channels, 3), conv_norm(out_channels, out_channels, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for grow, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), grow(x)], 1))
        return torch.sigmoid(self.head(x))


def unet() -> nn.Module:
    """Encoder and decoder for masks (a small U-Net)."""
    return _UNet()


class _ChannelNorm(nn.Module):
    """Layer normalisation over the channels of a picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _ConvNextBlock(nn.Module):
    """7x7 depthwise, then a two-layer perceptron on the channels with a learned scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.widen = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.spread(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(functional.gelu(self.widen(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext() -> nn.Module:
    """Large depthwise kernels with layer normalisation (a small ConvNeXt)."""
    widths, repeats = (48, 96, 192, 384), (2, 2, 6, 2)
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 4), _ChannelNorm(widths[0])]
    for stage, (width, count) in enumerate(zip(widths, repeats, strict=True)):
        if stage:
            layers += [_ChannelNorm(widths[stage - 1]), nn.Conv2d(widths[stage - 1], width, 2, 2)]
        layers += [_ConvNextBlock(width) for _ in range(count)]
    layers.append(_ChannelNorm(widths[-1]))
    return classifier(layers, widths[-1])


def super_resolution() -> nn.Module:
    """Residual 3x3 convolutions with PReLU, then three times the size by pixel shuffle."""
    width = 48
    body: list[nn.Module] = []
    for _ in range(4):
        branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, padding=1),
        )
        body.append(Residual(branch))
    return nn.Sequential(
        nn.Conv2d(3, width, 5, padding=2),
        nn.PReLU(width),
        *body,
        nn.Conv2d(width, 27, 3, padding=1),
        nn.PixelShuffle(3),
    )
