"""Networks on sequences: transformers with and without masks, recurrent layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.blocks import Attention, Residual

__all__ = ["bert_tiny", "decoder", "gru", "lstm", "transformer4", "vit"]


class _Encoder(nn.Module):
    """Attention and perceptron, each normalised before and added to its input."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.perceptron = Residual(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, hidden),
                nn.GELU(),
                nn.Linear(hidden, width),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.perceptron(x + self.attention(self.attention_norm(x)))


class _Transformer(nn.Module):
    """Learned positions, encoders, mean over the sequence, linear layer."""

    def __init__(self, length: int, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, length, width) * 0.02)
        self.layers = nn.Sequential(*[_Encoder(width, 4, 4 * width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.layers(x + self.positions)).mean(1))


def transformer4() -> nn.Module:
    """Four encoders of width 256 on 128 vectors."""
    return _Transformer(128, 256, 4, 100)


class _VisionTransformer(nn.Module):
    """Patches of 16 pixels and a class token."""

    def __init__(self, size: int = 224, width: int = 192, depth: int = 6) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, (size // 16) ** 2 + 1, width) * 0.02)
        self.layers = nn.Sequential(*[_Encoder(width, 3, 4 * width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        return self.head(self.norm(self.layers(x + self.positions))[:, 0])


def vit() -> nn.Module:
    """A small vision transformer."""
    return _VisionTransformer()


class _Bert(nn.Module):
    """Token, segment and position embeddings; attention masked by the padding."""

    def __init__(self, words: int = 4096, width: int = 192, depth: int = 4) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.positions = nn.Embedding(128, width)
        self.segments = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.attention = nn.ModuleList(Attention(width, 4) for _ in range(depth))
        self.attention_norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.perceptron = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(depth)
        )
        self.perceptron_norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.pool = nn.Linear(width, width)
        self.head = nn.Linear(width, 8)

    def forward(self, ids: Tensor, segments: Tensor, mask: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1]).unsqueeze(0)
        x = self.words(ids) + self.positions(positions) + self.segments(segments)
        x = self.norm(x)
        blocked = (1.0 - mask[:, None, None, :].to(x.dtype)) * -10000.0
        for attention, first, perceptron, second in zip(
            self.attention,
            self.attention_norm,
            self.perceptron,
            self.perceptron_norm,
            strict=True,
        ):
            x = first(x + attention(x, blocked))
            x = second(x + perceptron(x))
        return self.head(torch.tanh(self.pool(x[:, 0])))


def bert_tiny() -> nn.Module:
    """Embeddings and masked attention on 128 tokens (a small BERT)."""
    return _Bert()


class _RootMeanSquareNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) * 0.4 + 0.8)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6) * self.weight


class _DecoderLayer(nn.Module):
    """Causal attention with rotary positions, then a gated perceptron."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = _RootMeanSquareNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.perceptron_norm = _RootMeanSquareNorm(width)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def _split(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        return x.reshape(batch, length, self.heads, width // self.heads).transpose(1, 2)

    @staticmethod
    def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        first, second = x.chunk(2, -1)
        return x * cosine + torch.cat([-second, first], -1) * sine

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, mask: Tensor) -> Tensor:
        y = self.attention_norm(x)
        query = self._rotate(self._split(self.query(y)), cosine, sine)
        key = self._rotate(self._split(self.key(y)), cosine, sine)
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + mask
        mixed = torch.softmax(scores, -1) @ self._split(self.value(y))
        x = x + self.output(mixed.transpose(1, 2).flatten(2))
        y = self.perceptron_norm(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class _Decoder(nn.Module):
    """A causal language model: scores of the next token at every position."""

    def __init__(self, words: int = 2048, width: int = 256, depth: int = 4) -> None:
        super().__init__()
        length, heads = 64, 4
        self.words = nn.Embedding(words, width)
        self.layers = nn.ModuleList(_DecoderLayer(width, heads, 688) for _ in range(depth))
        self.norm = _RootMeanSquareNorm(width)
        self.head = nn.Linear(width, words, bias=False)
        half = width // heads // 2
        angles = torch.arange(length)[:, None] * 10000 ** (-torch.arange(half) / half)
        both = torch.cat([angles, angles], -1)
        self.register_buffer("cosine", both.cos())
        self.register_buffer("sine", both.sin())
        self.register_buffer("mask", torch.full((length, length), -1e9).triu(1))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        for layer in self.layers:
            x = layer(x, self.cosine, self.sine, self.mask)
        return self.head(self.norm(x))


def decoder() -> nn.Module:
    """Causal attention, rotary positions, gated perceptrons (a small LLaMA)."""
    return _Decoder()


class _Recurrent(nn.Module):
    """A recurrent layer over `(steps, batch, features)` and a linear layer on its last output."""

    def __init__(self, layer: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][-1])


def lstm() -> nn.Module:
    """One LSTM layer of 128 units."""
    return _Recurrent(nn.LSTM(64, 128), 128, 10)


def gru() -> nn.Module:
    """Two GRU layers of 128 units in both directions."""
    return _Recurrent(nn.GRU(40, 128, num_layers=2, bidirectional=True), 256, 12)
