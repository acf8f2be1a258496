"""Record what PyTorch computes while networks train, as data for the training tests.

Run it where `torch` is installed; the package itself is not imported:

    python scripts/record_training.py tests/data/training

The definitions (layers, losses, update rules) and the arrays written are listed in
`tests/data/training/README.md`. Everything is seeded: on one machine and one version of torch two
runs write equal arrays.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its customary name

STEPS = 50
BATCHES = 5
BATCH_SIZE = 8
CLASSES = 10
MOMENTUM = 0.9
MOMENTUM2 = 0.999
EPS = 1e-4  # large enough that its place in the formula shows in the results
WEIGHT_DECAY = 1e-4
BN_MOMENTUM = 0.9
BN_EPSILON = 1e-5
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}

Arrays = dict[str, np.ndarray]
Tensors = dict[str, torch.Tensor]


@dataclass
class Network:
    """One architecture: starting values, forward pass and how it is trained.

    Attributes:
        parameters: trained values in registration order, layer by layer.
        statistics: values that the forward pass updates (running mean and variance).
        forward: (parameters, statistics, input, training) to logits.
        image: (channels, height, width) of one input.
        rates: learning rate by optimizer name.
        layers: description for the sidecar.
    """

    name: str
    parameters: Arrays
    statistics: Arrays
    forward: Callable[[Tensors, Tensors, torch.Tensor, bool], torch.Tensor]
    image: tuple[int, int, int]
    rates: dict[str, float]
    layers: list[str] = field(default_factory=list)


def uniform(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Return weights uniform in +-sqrt(3 / fan_in), the bound of the layers' own start values."""
    bound = np.sqrt(3.0 / np.prod(shape[1:]))
    return generator.uniform(-bound, bound, shape).astype(np.float32)


def zeros(*shape: int) -> np.ndarray:
    """Return float32 zeros."""
    return np.zeros(shape, np.float32)


def batches(image: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (inputs, one-hot targets) of all batches: a smooth pattern per class plus noise.

    Values are multiples of 1/32, which compress well and are exact in every float type.
    """
    generator = np.random.default_rng(seed)
    coarse = generator.standard_normal((CLASSES, image[0], 4, 4))
    patterns = np.repeat(np.repeat(coarse, image[1] // 4, axis=2), image[2] // 4, axis=3)
    labels = generator.integers(0, CLASSES, (BATCHES, BATCH_SIZE))
    noise = generator.standard_normal((BATCHES, BATCH_SIZE, *image))
    inputs = np.round((0.5 * patterns[labels] + 0.5 * noise) * 32) / 32
    return inputs.astype(np.float32), np.eye(CLASSES, dtype=np.float32)[labels]


def lenet() -> Network:
    """Return LeNet with few channels, for 28 x 28 pictures of one channel."""
    generator = np.random.default_rng(1)
    parameters = {
        "conv1.weight": uniform(generator, 4, 1, 5, 5),
        "conv1.bias": zeros(4),
        "conv2.weight": uniform(generator, 8, 4, 5, 5),
        "conv2.bias": zeros(8),
        "linear1.weight": uniform(generator, 32, 128),
        "linear1.bias": zeros(1, 32),
        "linear2.weight": uniform(generator, 10, 32),
        "linear2.bias": zeros(1, 10),
    }

    def forward(p: Tensors, statistics: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        x = F.max_pool2d(F.relu(F.conv2d(x, p["conv1.weight"], p["conv1.bias"])), 2)
        x = F.max_pool2d(F.relu(F.conv2d(x, p["conv2.weight"], p["conv2.bias"])), 2)
        x = x.reshape(len(x), -1)
        x = F.relu(x @ p["linear1.weight"].T + p["linear1.bias"])
        return x @ p["linear2.weight"].T + p["linear2.bias"]

    return Network(
        "lenet",
        parameters,
        {},
        forward,
        (1, 28, 28),
        {"sgd": 0.005, "adam": 0.002},
        [
            "conv1: 1 -> 4 channels, kernel 5x5, stride 1, no padding, bias",
            "relu",
            "max pool 2x2, stride 2",
            "conv2: 4 -> 8 channels, kernel 5x5, stride 1, no padding, bias",
            "relu",
            "max pool 2x2, stride 2",
            "reshape (batch, 8, 4, 4) to (batch, 128) in channel, row, column order",
            "linear1: 128 -> 32, bias",
            "relu",
            "linear2: 32 -> 10, bias",
            "softmax over the last axis",
        ],
    )


def normalise(
    name: str, p: Tensors, statistics: Tensors, x: torch.Tensor, training: bool
) -> torch.Tensor:
    """Return batch-normalised `x`; in training also update the running values of `name`.

    Both the normalisation and the running variance use the biased variance, which is where
    torch.nn.BatchNorm2d differs.
    """
    if training:
        mean = x.mean((0, 2, 3))
        variance = x.var((0, 2, 3), unbiased=False)
        for key, value in (("running_mean", mean), ("running_variance", variance)):
            old = statistics[f"{name}.{key}"]
            old.mul_(BN_MOMENTUM).add_(value.detach(), alpha=1 - BN_MOMENTUM)
    else:
        mean, variance = statistics[f"{name}.running_mean"], statistics[f"{name}.running_variance"]
    column = (1, -1, 1, 1)
    centred = (x - mean.reshape(column)) / torch.sqrt(variance.reshape(column) + BN_EPSILON)
    return centred * p[f"{name}.gamma"].reshape(column) + p[f"{name}.beta"].reshape(column)


def batch_norm_cnn() -> Network:
    """Return two convolutions with batch normalisation, averaged and classified."""
    generator = np.random.default_rng(2)
    # A bias before batch normalisation has gradient zero up to rounding, which ADAM would blow up
    # to full steps of random sign, so these convolutions have none.
    parameters = {
        "conv1.weight": uniform(generator, 6, 3, 3, 3),
        "norm1.gamma": np.ones(6, np.float32),
        "norm1.beta": zeros(6),
        "conv2.weight": uniform(generator, 8, 6, 3, 3),
        "norm2.gamma": np.ones(8, np.float32),
        "norm2.beta": zeros(8),
        "linear.weight": uniform(generator, 10, 8),
        "linear.bias": zeros(1, 10),
    }
    statistics = {
        f"norm{number}.running_{value}": zeros(channels)
        for number, channels in ((1, 6), (2, 8))
        for value in ("variance", "mean")
    }

    def forward(p: Tensors, statistics: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        x = F.conv2d(x, p["conv1.weight"], padding=1)
        x = F.relu(normalise("norm1", p, statistics, x, training))
        x = F.conv2d(x, p["conv2.weight"], padding=1, stride=2)
        x = F.relu(normalise("norm2", p, statistics, x, training))
        return x.mean((2, 3)) @ p["linear.weight"].T + p["linear.bias"]

    return Network(
        "batch_norm_cnn",
        parameters,
        statistics,
        forward,
        (3, 12, 12),
        {"sgd": 0.1, "adam": 0.01},
        [
            "conv1: 3 -> 6 channels, kernel 3x3, stride 1, padding 1, no bias",
            f"norm1: batch norm, momentum {BN_MOMENTUM}, epsilon {BN_EPSILON}",
            "relu",
            "conv2: 6 -> 8 channels, kernel 3x3, stride 2, padding 1, no bias",
            f"norm2: batch norm, momentum {BN_MOMENTUM}, epsilon {BN_EPSILON}",
            "relu",
            "mean over height and width",
            "linear: 8 -> 10, bias",
            "softmax over the last axis",
        ],
    )


def cross_entropy(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Return the mean over rows of -sum t * log(p)."""
    return -(t * torch.log(p)).flatten(1).sum(1).mean()


class Adam:
    """ADAM with eps added to the uncorrected root, which torch.optim.Adam does differently."""

    def __init__(self, parameters: list[torch.Tensor], rate: float) -> None:
        self.parameters = parameters
        self.rate = rate
        self.first = [torch.zeros_like(w) for w in parameters]
        self.second = [torch.zeros_like(w) for w in parameters]
        self.count = 0

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        for w in self.parameters:
            w.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter from its gradient."""
        self.count += 1
        rate = self.rate * np.sqrt(1 - MOMENTUM2**self.count) / (1 - MOMENTUM**self.count)
        for w, m, v in zip(self.parameters, self.first, self.second, strict=True):
            g = w.grad + WEIGHT_DECAY * w
            m.mul_(MOMENTUM).add_(g, alpha=1 - MOMENTUM)
            v.mul_(MOMENTUM2).add_(g * g, alpha=1 - MOMENTUM2)
            w.sub_(float(rate) * m / (torch.sqrt(v) + EPS))


def optimizer(name: str, parameters: list[torch.Tensor], rate: float) -> Adam | torch.optim.SGD:
    """Return the optimizer `name` for `parameters`."""
    if name == "adam":
        return Adam(parameters, rate)
    return torch.optim.SGD(parameters, lr=rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)


def tensors(arrays: Arrays, dtype: torch.dtype, trainable: bool = False) -> Tensors:
    """Return copies of `arrays` as tensors of `dtype`."""
    return {
        key: torch.tensor(value, dtype=dtype).requires_grad_(trainable)
        for key, value in arrays.items()
    }


def train(
    network: Network, name: str, dtype: torch.dtype, inputs: np.ndarray, targets: np.ndarray
) -> Arrays:
    """Return losses, final values, first gradients and evaluation-mode outputs of one run."""
    parameters = tensors(network.parameters, dtype, trainable=True)
    statistics = tensors(network.statistics, dtype)
    steps = optimizer(name, list(parameters.values()), network.rates[name])
    x, t = torch.tensor(inputs, dtype=dtype), torch.tensor(targets, dtype=dtype)
    losses: list[float] = []
    result: Arrays = {}
    for step in range(STEPS):
        steps.zero_grad()
        probability = torch.softmax(
            network.forward(parameters, statistics, x[step % BATCHES], True), -1
        )
        loss = cross_entropy(probability, t[step % BATCHES])
        loss.backward()
        if step == 0:
            result |= {f"gradient.{key}": w.grad.numpy().copy() for key, w in parameters.items()}
        steps.step()
        losses.append(loss.item())
    evaluated = torch.softmax(network.forward(parameters, statistics, x[0], False), -1)
    result["loss"] = np.array(losses, inputs.dtype if dtype == torch.float32 else np.float64)
    result["probability"] = evaluated.detach().numpy()
    result |= {f"final.{key}": w.detach().numpy() for key, w in (parameters | statistics).items()}
    return result


def distance(a: Arrays, b: Arrays) -> dict[str, float]:
    """Return, for losses and final values, the largest difference over the largest value."""
    relative: dict[str, float] = {"loss": 0.0, "final": 0.0}
    for key in a:
        group = key.split(".")[0]
        if group in relative:
            scale = np.abs(b[key]).max()
            relative[group] = max(relative[group], float(np.abs(a[key] - b[key]).max() / scale))
    return {key: float(f"{value:.1e}") for key, value in relative.items()}


def conditioning(network: Network, name: str, inputs: np.ndarray, targets: np.ndarray) -> float:
    """Return how far 8 float32 runs end from the exact one when the weights start 1e-6 off.

    A trajectory that passes a kink of relu or max pooling closely makes this large: rounding then
    decides the side, and no implementation can be compared with another.
    """
    exact = train(network, name, torch.float64, inputs, targets)
    worst = 0.0
    for seed in range(8):
        generator = np.random.default_rng(seed)
        disturbed = {
            key: (value * (1 + 1e-6 * generator.standard_normal(value.shape))).astype(np.float32)
            for key, value in network.parameters.items()
        }
        run = train(replace(network, parameters=disturbed), name, torch.float32, inputs, targets)
        worst = max(worst, distance(run, exact)["final"])
    return worst


def parameter_order(network: Network) -> list[str]:
    """Return names in the order of a module's `parameters`: children reversed, then per layer."""
    inside = ["bias", "weight", "gamma", "beta", "running_variance", "running_mean"]
    names = [*network.parameters, *network.statistics]
    layers = list(dict.fromkeys(name.split(".")[0] for name in network.parameters))
    return sorted(
        names,
        key=lambda name: (-layers.index(name.split(".")[0]), inside.index(name.split(".")[1])),
    )


def record_network(network: Network, seed: int) -> tuple[Arrays, dict]:
    """Return the arrays and the sidecar of one network under both optimizers."""
    inputs, targets = batches(network.image, seed)
    arrays: Arrays = {"inputs": inputs, "targets": targets}
    start = network.parameters | network.statistics
    arrays |= {f"initial.{key}": value for key, value in start.items()}
    agreement = {}
    for name in network.rates:
        runs = {
            label: train(network, name, dtype, inputs, targets)
            for label, dtype in PRECISIONS.items()
        }
        agreement[name] = distance(runs["float32"], runs["float64"])
        agreement[name]["final_from_weights_1e-6_off"] = worst = conditioning(
            network, name, inputs, targets
        )
        if worst > 5e-5:
            sys.exit(
                f"{network.name}, {name}: badly conditioned ({worst:.1e}); choose another seed"
            )
        for label, run in runs.items():
            for key, value in run.items():
                if not key.startswith("gradient."):
                    arrays[f"{name}.{label}.{key}"] = value
        first = runs["float64"]
    arrays |= {key: value for key, value in first.items() if key.startswith("gradient.")}
    sidecar = {
        "layers": network.layers,
        "loss": "mean over the batch of -sum(target * log(probability))",
        "steps": STEPS,
        "batch_of_step": f"step % {BATCHES}",
        "optimizers": {
            "sgd": {
                "computed_by": "torch.optim.SGD",
                "learning_rate": network.rates["sgd"],
                "momentum": MOMENTUM,
                "weight_decay": WEIGHT_DECAY,
            },
            "adam": {
                "computed_by": "own update on torch tensors: torch.optim.Adam places eps elsewhere",
                "learning_rate": network.rates["adam"],
                "momentum": MOMENTUM,
                "momentum2": MOMENTUM2,
                "eps": EPS,
                "weight_decay": WEIGHT_DECAY,
            },
        },
        "parameter_order": parameter_order(network),
        "float32_against_float64": agreement,
    }
    if network.statistics:
        sidecar["batch_norm"] = {
            "computed_by": "own formula on torch tensors: torch keeps the unbiased variance",
            "momentum": BN_MOMENTUM,
            "epsilon": BN_EPSILON,
        }
    return arrays, sidecar


def transformer() -> tuple[Arrays, dict]:
    """Return outputs and gradients of one pre-norm transformer block, for both forms of GELU."""
    batch, length, width, heads, hidden = 2, 6, 16, 4, 32
    generator = np.random.default_rng(3)

    def noise(*shape: int) -> np.ndarray:
        return np.round(generator.standard_normal(shape) * 64) / 64

    start: Arrays = {"input": noise(batch, length, width)}
    for number in (1, 2):
        start[f"norm{number}.gamma"] = 1 + 0.25 * noise(width)
        start[f"norm{number}.beta"] = 0.25 * noise(width)
    sizes = dict.fromkeys(("query", "key", "value", "projection"), (width, width))
    sizes |= {"up": (hidden, width), "down": (width, hidden)}
    for key, (rows, columns) in sizes.items():
        start[f"{key}.weight"] = noise(rows, columns) / np.sqrt(columns)
        start[f"{key}.bias"] = 0.25 * noise(rows)
    arrays = start | {"output_gradient": noise(batch, length, width)}

    def block(p: Tensors, approximate: str) -> torch.Tensor:
        def linear(name: str, x: torch.Tensor) -> torch.Tensor:
            return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

        def layer_norm(name: str, x: torch.Tensor) -> torch.Tensor:
            return F.layer_norm(x, (width,), p[f"{name}.gamma"], p[f"{name}.beta"], 1e-5)

        def split(x: torch.Tensor) -> torch.Tensor:
            return x.reshape(batch, length, heads, width // heads).permute(0, 2, 1, 3)

        x = p["input"]
        normed = layer_norm("norm1", x)
        query, key, value = (split(linear(name, normed)) for name in ("query", "key", "value"))
        weights = torch.softmax(query @ key.transpose(-1, -2) / np.sqrt(width // heads), -1)
        mixed = (weights @ value).permute(0, 2, 1, 3).reshape(batch, length, width)
        x = x + linear("projection", mixed)
        inner = F.gelu(linear("up", layer_norm("norm2", x)), approximate=approximate)
        return x + linear("down", inner)

    for label, approximate in (("erf", "none"), ("tanh", "tanh")):
        p = tensors(start, torch.float64, trainable=True)
        output = block(p, approximate)
        output.backward(torch.tensor(arrays["output_gradient"]))
        arrays[f"{label}.output"] = output.detach().numpy()
        arrays |= {f"{label}.gradient.{key}": value.grad.numpy() for key, value in p.items()}
    sidecar = {
        "batch": batch,
        "length": length,
        "width": width,
        "heads": heads,
        "hidden": hidden,
        "epsilon": 1e-5,
        "computed_by": "torch autograd",
    }
    return arrays, sidecar


def losses() -> tuple[Arrays, dict]:
    """Return value and gradient of each loss in float64."""
    generator = np.random.default_rng(4)

    def positive_rows() -> np.ndarray:
        rows = generator.uniform(0.1, 1, (4, 5))
        return rows / rows.sum(1, keepdims=True)

    signs = np.where(generator.uniform(size=(4, 5)) < 0.5, -1.0, 1.0)
    images = [generator.standard_normal((3, 2, 4)) for _ in range(2)]
    formulas = {
        "mse": lambda p, t: (p - t) ** 2,
        "mae": lambda p, t: (p - t).abs(),
        "cross_entropy": lambda p, t: -t * torch.log(p),
        "kl": lambda p, t: p * torch.log(p / t),
        "hinge": lambda p, t: torch.clamp(1 - p * t, min=0),
    }
    cases = {name: (name, positive_rows(), positive_rows()) for name in formulas}
    cases["hinge"] = ("hinge", generator.standard_normal((4, 5)) * 2, signs)
    cases["mse_images"] = ("mse", *images)
    cases["mae_images"] = ("mae", *images)
    arrays: Arrays = {}
    for case, (name, predicts, targets) in cases.items():
        p = torch.tensor(predicts, requires_grad=True)
        value = formulas[name](p, torch.tensor(targets)).flatten(1).sum(1).mean()
        value.backward()
        arrays[f"{case}.predicts"], arrays[f"{case}.targets"] = predicts, targets
        arrays[f"{case}.value"], arrays[f"{case}.gradient"] = value.detach().numpy(), p.grad.numpy()
    sidecar = {
        "cases": {case: name for case, (name, _, _) in cases.items()},
        "computed_by": "torch autograd",
    }
    return arrays, sidecar


def main(folder: Path) -> None:
    """Write all files into `folder`."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    folder.mkdir(parents=True, exist_ok=True)
    recorded = {
        "lenet": record_network(lenet(), seed=11),
        "batch_norm_cnn": record_network(batch_norm_cnn(), seed=15),
        "transformer": transformer(),
        "losses": losses(),
    }
    for name, (arrays, sidecar) in recorded.items():
        np.savez_compressed(folder / f"{name}.npz", **arrays)
        sidecar["torch"] = torch.__version__
        text = json.dumps(sidecar, indent=2)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(f"{name}: {len(arrays)} arrays, {(folder / f'{name}.npz').stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    main(Path(sys.argv[1]))
