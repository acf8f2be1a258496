"""A one-stage detector: three scales, merged both ways, with decoded boxes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.blocks import Residual, conv_norm

__all__ = ["detector"]

CLASSES = 20
ANCHORS = (
    ((10.0, 13.0), (16.0, 30.0), (33.0, 23.0)),
    ((30.0, 61.0), (62.0, 45.0), (59.0, 119.0)),
    ((116.0, 90.0), (156.0, 198.0), (373.0, 326.0)),
)


class _Split(nn.Module):
    """Two 1x1 branches, one of them with residual 3x3 blocks, joined by a third 1x1."""

    def __init__(self, channels: int, out_channels: int, repeats: int, residual: bool) -> None:
        super().__init__()
        half = out_channels // 2
        blocks: list[nn.Module] = []
        for _ in range(repeats):
            block = nn.Sequential(
                conv_norm(half, half, 1, activation=nn.SiLU),
                conv_norm(half, half, 3, activation=nn.SiLU),
            )
            blocks.append(Residual(block) if residual else block)
        self.deep = nn.Sequential(conv_norm(channels, half, activation=nn.SiLU), *blocks)
        self.short = conv_norm(channels, half, activation=nn.SiLU)
        self.join = conv_norm(2 * half, out_channels, activation=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([self.deep(x), self.short(x)], 1))


class _PoolPyramid(nn.Module):
    """Max pooling of growing reach, concatenated."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.entry = conv_norm(channels, channels // 2, activation=nn.SiLU)
        self.join = conv_norm(2 * channels, channels, activation=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.entry(x)]
        for _ in range(3):
            parts.append(functional.max_pool2d(parts[-1], 5, 1, 2))
        return self.join(torch.cat(parts, 1))


class _Head(nn.Module):
    """Raw scores of one scale decoded to `(batch, boxes, 5 + classes)`."""

    def __init__(self, channels: int, size: int, stride: int, anchors: Tensor) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, 3 * (5 + CLASSES), 1)
        rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        grid = torch.stack([columns, rows], -1).reshape(1, 1, size, size, 2).float()
        self.stride = stride
        self.register_buffer("grid", grid)
        self.register_buffer("anchors", anchors.reshape(1, 3, 1, 1, 2))

    def forward(self, x: Tensor) -> Tensor:
        raw = self.score(x)
        batch, _, height, width = raw.shape
        raw = raw.reshape(batch, 3, 5 + CLASSES, height, width).permute(0, 1, 3, 4, 2)
        centre = (torch.sigmoid(raw[..., :2]) * 2 - 0.5 + self.grid) * self.stride
        extent = torch.exp(raw[..., 2:4].clamp(-4, 4)) * self.anchors
        boxes = torch.cat([centre, extent, torch.sigmoid(raw[..., 4:])], -1)
        return boxes.reshape(batch, -1, 5 + CLASSES)


class _Detector(nn.Module):
    """Backbone with strides 8, 16 and 32; features go up, then down again."""

    def __init__(self, size: int = 320, width: int = 16) -> None:
        super().__init__()
        w = width

        def down(channels: int, out_channels: int) -> nn.Module:
            return conv_norm(channels, out_channels, 3, 2, activation=nn.SiLU)

        self.stem = nn.Sequential(
            conv_norm(3, w, 6, 2, activation=nn.SiLU),
            down(w, 2 * w),
            _Split(2 * w, 2 * w, 1, True),
        )
        self.stage8 = nn.Sequential(down(2 * w, 4 * w), _Split(4 * w, 4 * w, 2, True))
        self.stage16 = nn.Sequential(down(4 * w, 8 * w), _Split(8 * w, 8 * w, 3, True))
        self.stage32 = nn.Sequential(
            down(8 * w, 16 * w), _Split(16 * w, 16 * w, 1, True), _PoolPyramid(16 * w)
        )
        self.narrow32 = conv_norm(16 * w, 8 * w, activation=nn.SiLU)
        self.merge16 = _Split(16 * w, 8 * w, 1, False)
        self.narrow16 = conv_norm(8 * w, 4 * w, activation=nn.SiLU)
        self.merge8 = _Split(8 * w, 4 * w, 1, False)
        self.down8, self.down16 = down(4 * w, 4 * w), down(8 * w, 8 * w)
        self.final16 = _Split(8 * w, 8 * w, 1, False)
        self.final32 = _Split(16 * w, 16 * w, 1, False)
        self.heads = nn.ModuleList(
            _Head(w * factor, size // stride, stride, torch.tensor(anchors))
            for factor, stride, anchors in zip((4, 8, 16), (8, 16, 32), ANCHORS, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        fine = self.stage8(self.stem(x))
        middle = self.stage16(fine)
        coarse = self.narrow32(self.stage32(middle))
        up = functional.interpolate(coarse, scale_factor=2, mode="nearest")
        middle = self.narrow16(self.merge16(torch.cat([up, middle], 1)))
        up = functional.interpolate(middle, scale_factor=2, mode="nearest")
        fine = self.merge8(torch.cat([up, fine], 1))
        middle = self.final16(torch.cat([self.down8(fine), middle], 1))
        coarse = self.final32(torch.cat([self.down16(middle), coarse], 1))
        scales = zip(self.heads, (fine, middle, coarse), strict=True)
        return torch.cat([head(feature) for head, feature in scales], 1)


def detector() -> nn.Module:
    """Multi-scale detection with sigmoid and exp decoding (a small YOLO)."""
    return _Detector()
