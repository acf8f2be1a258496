"""Networks of 1-D convolutions on sound."""

from __future__ import annotations

from torch import Tensor, nn

from networks.blocks import Residual

__all__ = ["keyword", "wav_encoder"]


def _conv_norm(
    channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm1d(out_channels),
        nn.ReLU(),
    )


class _Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-1)


def keyword() -> nn.Module:
    """Separable 1-D convolutions on 98 frames of 40 features, for keyword spotting."""
    width = 128
    layers: list[nn.Module] = [_conv_norm(40, width, 5, 2)]
    for kernel in (9, 13, 15, 17):
        branch = nn.Sequential(
            _conv_norm(width, width, kernel, groups=width), _conv_norm(width, width, 1)
        )
        layers.append(Residual(branch))
    layers += [_conv_norm(width, 192, 3, 2), _Mean(), nn.Linear(192, 35)]
    return nn.Sequential(*layers)


class _SequenceNorm(nn.Module):
    """Layer normalisation over the channels of `(batch, channels, length)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


def wav_encoder() -> nn.Module:
    """Strided 1-D convolutions on one second of raw samples, normalised by channel, with GELU."""
    width, channels = 128, 1
    layers: list[nn.Module] = []
    for kernel, stride in ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)):
        layers += [nn.Conv1d(channels, width, kernel, stride), _SequenceNorm(width), nn.GELU()]
        channels = width
    return nn.Sequential(*layers)
