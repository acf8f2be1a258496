"""`mnn run`: classify pictures with any model that takes one picture and gives scores."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnn.cli.output import OK, CommandError, guarded, read_labels, table
from mnn.expr.enums import data_format
from mnn.expr.var import Var

__all__ = ["Preprocessing", "add_arguments", "classify", "run"]

Array = np.ndarray[Any, Any]

MAX_SIDE = 1 << 15
"""Longest side of a model input that is accepted on the command line."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the input of a model.

    Attributes:
        size: (width, height).    mean, scale: the input is (pixel - mean) * scale, per channel.
        color: `BGR`, `RGB` or `GRAY`.    layout: NCHW or NHWC.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    color: str
    layout: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `mnn run`."""
    parser.add_argument("model", help="a .mnn file")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="pictures to classify")
    parser.add_argument(
        "--size", type=_size, metavar="WxH", help="input size (default: the model's)"
    )
    parser.add_argument(
        "--mean",
        type=_numbers,
        default=(0.0,),
        metavar="A[,B,C]",
        help="subtracted from pixels, per channel (default: 0)",
    )
    parser.add_argument(
        "--scale",
        type=_numbers,
        default=(1.0,),
        metavar="A[,B,C]",
        help="multiplied after that, per channel (default: 1)",
    )
    parser.add_argument(
        "--color",
        choices=["BGR", "RGB", "GRAY"],
        help="channel order of the model (default: RGB, or GRAY for one channel)",
    )
    parser.add_argument("--layout", choices=["NCHW", "NHWC"], help="default: the model's")
    parser.add_argument("--labels", metavar="FILE", help="text file with one label per line")
    parser.add_argument(
        "--top", type=_count, default=5, metavar="N", help="classes to show (default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(each) for each in text.split(","))
    except ValueError as error:
        what = f"{text!r}: expected numbers such as 127.5 or 1,2,3"
        raise argparse.ArgumentTypeError(what) from error
    if not all(np.isfinite(each) for each in found):
        raise argparse.ArgumentTypeError(f"{text!r}: expected finite numbers")
    return found


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().replace(",", "x").split("x")
    try:
        width, height = (int(each) for each in (parts if len(parts) == 2 else parts * 2))
    except ValueError as error:
        what = f"{text!r}: expected WIDTHxHEIGHT, such as 224x224"
        raise argparse.ArgumentTypeError(what) from error
    if not 1 <= min(width, height) <= max(width, height) <= MAX_SIDE:
        raise argparse.ArgumentTypeError(f"{text!r}: expected sides from 1 to {MAX_SIDE}")
    return width, height


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number") from error
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected at least 1")
    return count


def preprocessing(declared: Var, options: argparse.Namespace) -> Preprocessing:
    """Return the preprocessing for a model's input and the command's options."""
    shape = list(declared.shape)
    if len(shape) != 4:
        raise CommandError(
            f"the model's input has shape {shape}, expected a picture with four dimensions"
        )
    last = declared.data_format is data_format.NHWC
    height, width, channels = (
        (shape[1], shape[2], shape[3]) if last else (shape[2], shape[3], shape[1])
    )
    if options.size is not None:
        width, height = options.size
    elif min(width, height) < 1:
        raise CommandError("the model takes any size: give one with --size WIDTHxHEIGHT")
    if channels not in (1, 3, -1):
        raise CommandError(f"the model takes {channels} channels, expected 1 or 3")
    return Preprocessing(
        (width, height),
        options.mean,
        options.scale,
        options.color or ("GRAY" if channels == 1 else "RGB"),
        options.layout or ("NHWC" if last else "NCHW"),
    )


def prepare(path: str, how: Preprocessing) -> Var:
    """Return a picture file as a model input, (1, C, H, W) or (1, H, W, C)."""
    import mnn.cv as cv2
    import mnn.numpy as mnp
    from mnn import expr

    grey = how.color == "GRAY"
    image = cv2.imread(path, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    if how.color == "RGB":
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    image = cv2.resize(image, how.size)
    pixels = mnp.astype(image, mnp.float32)
    if grey:
        pixels = mnp.expand_dims(pixels, 2)
    for numbers in (how.mean, how.scale):
        if len(numbers) not in (1, pixels.shape[2]):
            raise CommandError(
                f"found {len(numbers)} numbers for mean or scale, the picture has "
                f"{pixels.shape[2]} channels"
            )
    pixels = (pixels - mnp.array(list(how.mean))) * mnp.array(list(how.scale))
    batch = mnp.expand_dims(pixels, 0)
    batch.set_order(expr.NHWC)
    return expr.convert(batch, expr.NHWC if how.layout == "NHWC" else expr.NCHW)


def probabilities(scores: Array) -> Array:
    """Return scores as probabilities: as they are if they add up to 1, else through softmax."""
    flat = scores.reshape(-1).astype(np.float64)
    if flat.size and flat.min() >= 0 and abs(flat.sum() - 1) < 1e-3:
        return flat
    powers = np.exp(flat - flat.max()) if flat.size else flat
    return powers / powers.sum() if flat.size else flat


def classify(module: Any, path: str, how: Preprocessing, top: int) -> list[tuple[int, float]]:
    """Return the best classes of a picture with their probabilities."""
    result = module.onForward([prepare(path, how)])[0].read()
    scores = probabilities(result)
    order = np.argsort(-scores, kind="stable")[:top]
    return [(int(each), float(scores[each])) for each in order]


def run(options: argparse.Namespace) -> int:
    """Run `mnn run`."""
    from mnn import nn

    module = nn.load_module_from_file(options.model, [], [])
    declared = module.get_info()["inputs"]
    if len(declared) != 1:
        raise CommandError(f"the model takes {len(declared)} inputs, expected one picture")
    how = preprocessing(declared[0], options)
    labels = read_labels(options.labels)
    found: list[tuple[str, list[tuple[int, float]]]] = []

    def classify_one(path: str) -> int:
        found.append((path, classify(module, path, how, options.top)))
        return OK

    # One bad picture costs its own result, not those of the others.
    codes = [guarded(functools.partial(classify_one, path)) for path in options.images]
    if options.json:
        print(json.dumps([_record(path, best, labels) for path, best in found], indent=2))
    elif found:
        print(table(_rows(found, labels)))
    return max(codes)


def label_of(index: int, labels: Sequence[str]) -> str:
    """Return the label of a class, its number when there is none."""
    return labels[index] if index < len(labels) else str(index)


def _record(path: str, best: list[tuple[int, float]], labels: Sequence[str]) -> dict[str, Any]:
    return {
        "image": path,
        "classes": [
            {"class": index, "label": label_of(index, labels), "probability": round(value, 6)}
            for index, value in best
        ],
    }


def _rows(
    found: Sequence[tuple[str, list[tuple[int, float]]]], labels: Sequence[str]
) -> list[list[str]]:
    rows = [["image", "class", "label", "probability"]]
    for path, best in found:
        for place, (index, value) in enumerate(best):
            name = path if place == 0 else ""
            rows.append([name, str(index), label_of(index, labels), f"{value:.4f}"])
    return rows
