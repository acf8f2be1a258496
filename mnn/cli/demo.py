"""`mnn demo`: read the packaged digits, classify them, print a table, draw the results."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mnn.cli.output import OK, CommandError, table

__all__ = ["add_arguments", "run"]

Array = np.ndarray[Any, Any]

TILE = 96


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `mnn demo`."""
    parser.add_argument(
        "--output",
        default="mnn_demo.png",
        metavar="PNG",
        help="picture of the results (default: %(default)s)",
    )


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with resources.as_file(resources.files("mnn.demo")) as folder:
        yield folder


def _input(path: Path) -> Any:
    """Return a packaged digit as the model wants it: (1, 1, 8, 8), ink bright, 0..1."""
    import mnn.cv as cv2
    import mnn.numpy as mnp

    image = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    image = cv2.resize(image, (8, 8))
    pixels = mnp.astype(image, mnp.float32) * (1.0 / 255.0)
    if float(mnp.mean(pixels)) > 0.5:  # dark ink on light paper
        pixels = 1.0 - pixels
    # One picture of one channel, (1, H, W, 1); the module converts it to its own layout.
    return mnp.expand_dims(pixels, (0, 3))


def run(options: argparse.Namespace) -> int:
    """Run `mnn demo`."""
    import mnn.cv as cv2
    from mnn import nn

    with _folder() as folder:
        pictures = sorted(folder.glob("digit_*.png"))
        if not pictures:
            raise CommandError("the packaged pictures are missing; install the package again")
        module = nn.load_module_from_file(folder / "digits.mnn", [], [])
        rows = [["picture", "digit", "predicted", "probability"]]
        tiles = []
        right = 0
        for path in pictures:
            truth = path.stem.split("_")[1]
            scores = module.forward(_input(path)).read().reshape(-1)
            best = int(scores.argmax())
            right += str(best) == truth
            rows.append([path.name, truth, str(best), f"{scores[best]:.3f}"])
            tiles.append(_tile(path, best, str(best) == truth))
    print(table(rows))
    print(f"{right} of {len(pictures)} right")
    cv2.imwrite(options.output, np.concatenate(tiles, axis=1))
    print(f"picture of the results: {options.output}")
    return OK


def _tile(path: Path, predicted: int, correct: bool) -> Array:
    """Return a digit with a frame (green: right, red: wrong) and its prediction below."""
    import mnn.cv as cv2

    image = cv2.resize(cv2.imread(path), (TILE, TILE), interpolation=cv2.INTER_NEAREST)
    colour = (80, 160, 60) if correct else (60, 60, 200)
    framed = cv2.copyMakeBorder(image, 4, 4, 4, 4, cv2.BORDER_CONSTANT, colour).read()
    strip = np.full((24, framed.shape[1], 3), 255, np.uint8)
    _draw_digit(strip, predicted, colour)
    return np.concatenate([framed, strip], axis=0)


# Seven-segment shapes, one bit per segment: top, left top, right top, middle, left low, right low,
# bottom.
_SEGMENTS = (0x77, 0x24, 0x5D, 0x6D, 0x2E, 0x6B, 0x7B, 0x25, 0x7F, 0x6F)
_PLACES = (
    (slice(2, 5), slice(0, 12)),
    (slice(2, 12), slice(0, 3)),
    (slice(2, 12), slice(9, 12)),
    (slice(10, 13), slice(0, 12)),
    (slice(11, 21), slice(0, 3)),
    (slice(11, 21), slice(9, 12)),
    (slice(18, 21), slice(0, 12)),
)


def _draw_digit(strip: Array, digit: int, colour: tuple[int, int, int]) -> None:
    """Draw a digit in the middle of a strip, in place."""
    left = strip.shape[1] // 2 - 6
    cell = strip[:, left : left + 12]
    for bit, (rows, columns) in enumerate(_PLACES):
        if _SEGMENTS[digit] >> bit & 1:
            cell[rows, columns] = colour
