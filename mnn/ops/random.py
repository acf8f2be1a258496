"""Random numbers: functions of a shape and a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.dtypes import as_dtype, dtype
from mnn.expr.enums import data_format
from mnn.expr.symbols import fresh
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import int_operand, integers_of
from mnn.ops.codec import Codec
from mnn.ops.spec import INTEGERS, REQUIRED, BadCall, GradCall, OpSpec, Sample

__all__ = ["normal_numbers", "random_normal", "randomuniform", "uniform_numbers"]

Array = np.ndarray[Any, Any]


def _ints(*values: int) -> Array:
    return np.array(values, np.int32)


def _no_gradient(call: GradCall) -> list[Var | None]:
    return [None] * len(call.inputs)


def _generator(seed: tuple[int, ...], draw: Array | None) -> np.random.Generator:
    # Counter-based: the same node gives the same numbers for the same draw.
    numbers = [] if draw is None else [abs(int(each)) for each in draw.reshape(-1)]
    return np.random.Generator(np.random.Philox([*seed, *numbers]))


def _infer_random(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    sizes = types[0]
    dtype: np.dtype[Any] = attributes["dtype"]
    if sizes.value is None:
        count = sizes.shape[0] if sizes.shape else None
        shape = tuple(fresh("random") for _ in range(count)) if isinstance(count, int) else None
        return TensorType(shape, dtype, data_format.NCHW)
    numbers = tuple(int(each) for each in sizes.value.reshape(-1))
    if any(number < 0 for number in numbers):
        raise ShapeError(f"random: found shape {list(numbers)}, expected sizes >= 0.")
    return TensorType(numbers, dtype, data_format.NCHW)


def _uniform_reference(
    shape: Array,
    draw: Array | None = None,
    *,
    low: float,
    high: float,
    seed: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Array:
    sizes = tuple(int(each) for each in shape.reshape(-1))
    if any(size < 0 for size in sizes):
        raise ShapeError(f"random: found shape {list(sizes)}, expected sizes >= 0.")
    numbers = _generator(seed, draw).random(
        sizes, np.float32 if dtype == np.float32 else np.float64
    )
    result: Array = np.asarray(low + numbers * numbers.dtype.type(high - low)).astype(dtype)
    return result


def _normal_reference(
    shape: Array,
    draw: Array | None = None,
    *,
    mean: float,
    scale: float,
    seed: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Array:
    sizes = tuple(int(each) for each in shape.reshape(-1))
    numbers = _generator(seed, draw).standard_normal(sizes)
    result: Array = np.asarray(mean + numbers * scale).astype(dtype)
    return result


_FLOAT: np.dtype[Any] = np.dtype(np.float32)

uniform_numbers = OpSpec(
    "random_uniform",
    ("shape", "draw?"),
    _infer_random,
    _uniform_reference,
    "random",
    attributes={"low": 0.0, "high": 1.0, "seed": REQUIRED, "dtype": _FLOAT},
    grad=_no_gradient,
    codec=Codec("RandomUniform", handled=True),
    onnx="RandomUniform",
    kinds={"shape": INTEGERS, "draw": INTEGERS},
    samples=(
        Sample((_ints(2, 3),), {"seed": (1, 2)}, gradient=False),
        Sample((_ints(0),), {"seed": (1, 2)}, gradient=False),
        Sample((_ints(4),), {"seed": (1,), "low": -3.0, "high": 5.0}, gradient=False),
        Sample((_ints(4), _ints(7)), {"seed": (1,)}, gradient=False),
    ),
    bad=(BadCall("negative size", (_ints(-1),), ShapeError, {"seed": (1,)}),),
    doc="uniform random numbers in [low, high), the same for the same seed and draw",
)

normal_numbers = OpSpec(
    "random_normal",
    ("shape", "draw?"),
    _infer_random,
    _normal_reference,
    "random",
    attributes={"mean": 0.0, "scale": 1.0, "seed": REQUIRED, "dtype": _FLOAT},
    grad=_no_gradient,
    codec=Codec("RandomNormal", handled=True),
    onnx="RandomNormal",
    kinds={"shape": INTEGERS, "draw": INTEGERS},
    samples=(
        Sample((_ints(2, 3),), {"seed": (1, 2)}, gradient=False),
        Sample((_ints(0),), {"seed": (1, 2)}, gradient=False),
        Sample((_ints(4),), {"seed": (1,), "mean": 3.0, "scale": 0.5}, gradient=False),
    ),
    doc="normal random numbers, the same for the same seed and draw",
)


def randomuniform(
    shape: Any,
    dtype: Any = dtype.float,
    low: float = 0.0,
    high: float = 1.0,
    seed0: int = 0,
    seed1: int = 1,
) -> Var:
    """Return uniform random numbers in [low, high); the same seeds give the same numbers."""
    result: Var = uniform_numbers(
        int_operand("randomuniform", shape, "shape"),
        low=float(low),
        high=float(high),
        seed=tuple(abs(each) for each in integers_of("randomuniform", [seed0, seed1], "seeds")),
        dtype=as_dtype(dtype),
    )
    return result


def random_normal(
    shape: Any, dtype: Any = dtype.float, mean: float = 0.0, scale: float = 1.0, seed: int = 0
) -> Var:
    """Return normal random numbers; the same seed gives the same numbers."""
    result: Var = normal_numbers(
        int_operand("random_normal", shape, "shape"),
        mean=float(mean),
        scale=float(scale),
        seed=(abs(int(seed)),),
        dtype=as_dtype(dtype),
    )
    return result
