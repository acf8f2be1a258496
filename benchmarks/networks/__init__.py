"""The networks that are measured, built in torch with seeded random weights.

The first seven are the usual public ones; the others exist so that no common pattern falls behind
unnoticed. Weights are random: only speed and the agreement of runtimes are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from networks import audio, classic, detection, mobile, pictures, sequences
from networks.blocks import set_weights

__all__ = ["NETWORKS", "PUBLIC", "Input", "Network"]


@dataclass(frozen=True)
class Input:
    """One input of a network.

    Attributes:
        shape: fixed sizes.
        high: 0 for normally distributed float32 numbers, else int64 numbers below it.
    """

    name: str
    shape: tuple[int, ...]
    high: int = 0

    def sample(self, generator: torch.Generator) -> Tensor:
        """Return random content."""
        if self.high:
            return torch.randint(0, self.high, self.shape, generator=generator)
        return torch.randn(self.shape, generator=generator)


@dataclass(frozen=True)
class Network:
    """A function that builds a network, and its inputs."""

    make: Callable[[], nn.Module]
    inputs: tuple[Input, ...]

    def build(self) -> nn.Module:
        """Return the network for inference, with the same weights every time."""
        torch.manual_seed(11)
        network = self.make().eval()
        set_weights(network)
        return network

    def samples(self) -> tuple[Tensor, ...]:
        """Return the same inputs every time."""
        generator = torch.Generator().manual_seed(3)
        return tuple(each.sample(generator) for each in self.inputs)


def _picture(size: int) -> tuple[Input, ...]:
    return (Input("x", (1, 3, size, size)),)


_TOKENS = (1, 128)

NETWORKS: dict[str, Network] = {
    "mobilenet_v1": Network(classic.mobilenet_v1, _picture(224)),
    "mobilenet_v2": Network(classic.mobilenet_v2, _picture(224)),
    "squeezenet11": Network(classic.squeezenet11, _picture(224)),
    "resnet18": Network(classic.resnet18, _picture(224)),
    "resnet50": Network(classic.resnet50, _picture(224)),
    "transformer4": Network(sequences.transformer4, (Input("x", (1, 128, 256)),)),
    "lstm": Network(sequences.lstm, (Input("x", (32, 1, 64)),)),
    "efficientnet": Network(mobile.efficientnet, _picture(224)),
    "mobilenet_v3": Network(mobile.mobilenet_v3, _picture(224)),
    "shufflenet_v2": Network(mobile.shufflenet_v2, _picture(224)),
    "densenet": Network(pictures.densenet, _picture(224)),
    "resnext": Network(pictures.resnext, _picture(224)),
    "unet": Network(pictures.unet, _picture(192)),
    "convnext": Network(pictures.convnext, _picture(224)),
    "super_resolution": Network(pictures.super_resolution, _picture(96)),
    "detector": Network(detection.detector, _picture(320)),
    "vit": Network(sequences.vit, _picture(224)),
    "bert_tiny": Network(
        sequences.bert_tiny,
        (Input("ids", _TOKENS, 4096), Input("segments", _TOKENS, 2), Input("mask", _TOKENS, 2)),
    ),
    "decoder": Network(sequences.decoder, (Input("ids", (1, 64), 2048),)),
    "gru": Network(sequences.gru, (Input("x", (50, 1, 40)),)),
    "keyword": Network(audio.keyword, (Input("x", (1, 40, 98)),)),
    "wav_encoder": Network(audio.wav_encoder, (Input("x", (1, 1, 16000)),)),
}
"""Every network by name."""

PUBLIC = tuple(NETWORKS)[:7]
"""The usual public networks."""
