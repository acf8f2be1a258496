"""Train a small network on handwritten digits and save it as a `.mnn` file.

    python train.py --output digits.mnn

The pictures are scikit-learn's bundled `load_digits` (8 x 8, grey). The saved model has one input,
`image`, of shape (1, 1, 8, 8) with values 0..1 and bright ink, and one output, `probability`, of
shape (1, 10). Nothing else is written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy
from pictures import Pictures, load_split

from mnn import data, expr, nn, optim

CLASSES = 10
WANTED_ACCURACY = 0.97


class Network(nn.Module):
    """Two convolutions, each followed by pooling, and one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        same = {"padding": [1, 1], "padding_mode": expr.CAFFE}
        self.conv1 = nn.conv(1, 16, [3, 3], **same)
        self.conv2 = nn.conv(16, 32, [3, 3], **same)
        self.linear = nn.linear(32 * 2 * 2, CLASSES)

    def forward(self, x: expr.Var) -> expr.Var:
        """Return class probabilities, `(batch, 10)`, for pictures `(batch, 1, 8, 8)`."""
        x = expr.max_pool(expr.relu(self.conv1(x)), [2, 2], [2, 2])
        x = expr.max_pool(expr.relu(self.conv2(x)), [2, 2], [2, 2])
        # Layers may answer in a packed layout; reshape needs channel, row, column order.
        x = expr.reshape(expr.convert(x, expr.NCHW), [0, -1])
        return expr.softmax(self.linear(x), 1)


class Digits(data.Dataset):
    """Pairs of ([picture], [label]) as the data loader wants them."""

    def __init__(self, pictures: Pictures) -> None:
        super().__init__()
        self.pictures = pictures

    def __getitem__(self, index: int) -> tuple[list[expr.Var], list[expr.Var]]:
        """Return picture and label number `index`."""
        image = expr.const(self.pictures.images[index], [1, 8, 8], expr.NCHW)
        label = expr.const([int(self.pictures.labels[index])], [], expr.NCHW, expr.int)
        return [image], [label]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.pictures.labels)


def train_epoch(network: Network, optimizer: optim.Optimizer, loader: data.DataLoader) -> float:
    """Go through the training pictures once; return the mean loss."""
    network.train(True)
    loader.reset()
    total = 0.0
    for _ in range(loader.iter_number):
        [images], [labels] = loader.next()
        target = expr.one_hot(labels, CLASSES)
        loss = nn.loss.cross_entropy(network.forward(images), target)
        # Read before the step: afterwards the same graph would be computed with the new weights.
        total += float(loss.read())
        optimizer.step(loss)
    return total / loader.iter_number


def accuracy(network: Network, pictures: Pictures) -> float:
    """Return the share of pictures that the network names right."""
    network.train(False)
    images = expr.const(pictures.images, list(pictures.images.shape), expr.NCHW)
    probability = numpy.asarray(network.forward(images).read())
    return float(numpy.mean(probability.argmax(axis=1) == pictures.labels))


def save(network: Network, path: Path) -> None:
    """Write the network for inference, with named input and output."""
    network.train(False)
    image = expr.placeholder([1, 1, 8, 8], expr.NCHW)
    image.name = "image"
    probability = network.forward(image)
    probability.name = "probability"
    expr.save([probability], str(path))


def main() -> int:
    """Train, report, save; return the exit code."""
    parser = argparse.ArgumentParser(description="Train a digit classifier and save it.")
    parser.add_argument("--output", type=Path, default=Path("digits.mnn"), help="file to write")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.003, help="learning rate of ADAM")
    parser.add_argument("--seed", type=int, default=1, help="of start values and batch order")
    arguments = parser.parse_args()

    expr.lazy_eval(True)
    training, test = load_split()
    nn.set_seed(arguments.seed)
    network = Network()
    optimizer = optim.ADAM(network, arguments.rate)
    loader = data.DataLoader(Digits(training), arguments.batch, shuffle=True, seed=arguments.seed)
    for epoch in range(1, arguments.epochs + 1):
        loss = train_epoch(network, optimizer, loader)
        print(f"epoch {epoch:2}  loss {loss:.4f}  test accuracy {accuracy(network, test):.4f}")

    reached = accuracy(network, test)
    if reached < WANTED_ACCURACY:
        print(f"accuracy {reached:.4f} is below {WANTED_ACCURACY}: not saved", file=sys.stderr)
        return 1
    save(network, arguments.output)
    print(f"saved {arguments.output} ({arguments.output.stat().st_size} bytes)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
