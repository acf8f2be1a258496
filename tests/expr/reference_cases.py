"""One or more calls of every computing function of `mnn.expr`, with results from NumPy.

A case is `(arguments, expected)`; arguments may end with a dict of keywords. Arrays become Vars of
the format that `nc4hw4` marks, else NCHW.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mnn import expr as F  # noqa: N812

Array = np.ndarray[Any, Any]

_rng = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    """Return standard-normal float32 numbers."""
    return _rng.standard_normal(shape).astype(np.float32)


def ints(*values: Any) -> Array:
    """Return an int32 array."""
    return np.array(values, np.int32)


X, Y = floats(2, 3), floats(2, 3)
SMALL = np.array([-0.9, -0.3, 0.0, 0.4, 0.8], np.float32)
LARGE = np.array([1.0, 1.5, 2.0, 7.0], np.float32)
POSITIVE = np.array([0.1, 0.5, 1.0, 3.0], np.float32)
HALVES = np.array([-2.5, -1.5, -0.4, 0.5, 1.2, 2.5], np.float32)
WHOLE, OTHER = ints([7, -5, 4], [0, 9, -8]), ints([2, 3, -3], [5, -4, 7])
IMAGE = floats(1, 4, 4, 6)

_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _half_away(x: Array) -> Array:
    return np.sign(x) * np.floor(np.abs(x) + 0.5)


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


UNARY: dict[str, tuple[Any, Array]] = {
    "abs": (np.abs, X),
    "acos": (np.arccos, SMALL),
    "acosh": (np.arccosh, LARGE),
    "asin": (np.arcsin, SMALL),
    "asinh": (np.arcsinh, X),
    "atan": (np.arctan, X),
    "atanh": (np.arctanh, SMALL),
    "ceil": (np.ceil, HALVES),
    "cos": (np.cos, X),
    "cosh": (np.cosh, X),
    "erf": (_erf, X),
    "erfc": (_erfc, X),
    "exp": (np.exp, X),
    "expm1": (np.expm1, np.array([1e-6, -0.5, 2.0], np.float32)),
    "floor": (np.floor, HALVES),
    "gelu": (_gelu, X),
    "log": (np.log, POSITIVE),
    "log1p": (np.log1p, np.array([1e-6, 0.5, 2.0], np.float32)),
    "negative": (np.negative, X),
    "reciprocal": (np.reciprocal, POSITIVE),
    "round": (_half_away, HALVES),
    "rsqrt": (lambda x: 1 / np.sqrt(x), POSITIVE),
    "sigmoid": (_sigmoid, X),
    "sign": (np.sign, HALVES),
    "sin": (np.sin, X),
    "sinh": (np.sinh, X),
    "softplus": (lambda x: np.log1p(np.exp(x)), X),
    "softsign": (lambda x: x / (1 + np.abs(x)), X),
    "sqrt": (np.sqrt, POSITIVE),
    "square": (np.square, X),
    "tan": (np.tan, SMALL),
    "tanh": (np.tanh, X),
}

BINARY: dict[str, tuple[Any, Array, Array]] = {
    "add": (np.add, X, Y),
    "subtract": (np.subtract, X, Y),
    "multiply": (np.multiply, X, Y),
    "divide": (np.divide, X, Y),
    "maximum": (np.maximum, X, Y),
    "minimum": (np.minimum, X, Y),
    "squared_difference": (lambda x, y: (x - y) ** 2, X, Y),
    "atan2": (np.arctan2, X, Y),
    "pow": (np.power, np.abs(X), Y),
    "floordiv": (np.floor_divide, WHOLE, OTHER),
    "floormod": (np.mod, WHOLE, OTHER),
    "mod": (np.mod, WHOLE, OTHER),
    "bitwise_and": (np.bitwise_and, WHOLE, OTHER),
    "bitwise_or": (np.bitwise_or, WHOLE, OTHER),
    "bitwise_xor": (np.bitwise_xor, WHOLE, OTHER),
    "equal": (np.equal, HALVES, np.abs(HALVES)),
    "not_equal": (np.not_equal, HALVES, np.abs(HALVES)),
    "less": (np.less, X, Y),
    "less_equal": (np.less_equal, X, Y),
    "greater": (np.greater, X, Y),
    "greater_equal": (np.greater_equal, X, Y),
    "logical_or": (np.logical_or, WHOLE, OTHER),
}

REDUCTIONS: dict[str, tuple[Any, Array]] = {
    "reduce_sum": (np.sum, X),
    "reduce_mean": (np.mean, X),
    "reduce_max": (np.max, X),
    "reduce_min": (np.min, X),
    "reduce_prod": (np.prod, X),
    "reduce_any": (np.any, WHOLE),
    "reduce_all": (np.all, WHOLE),
}


def nc4hw4(array: Array) -> Any:
    """Return a Var with the tag that convolutions of the reference package demand."""
    return F.convert(F.const(array, list(array.shape)), F.NC4HW4)


def _conv(x: Array, weight: Array, bias: Array, stride: tuple[int, int], pad: int) -> Array:
    """Return a convolution; stride is (x, y)."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (2, 3))
    windows = windows[:, :, :: stride[1], :: stride[0]]
    return np.einsum("nchwij,ocij->nohw", windows, weight) + bias[:, None, None]


def _conv_transpose(x: Array, weight: Array, bias: Array) -> Array:
    height, width = (x.shape[axis] + weight.shape[axis] - 1 for axis in (2, 3))
    result = np.zeros((x.shape[0], weight.shape[1], height, width))
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            spread = np.einsum("nchw,co->nohw", x, weight[:, :, row, column])
            result[:, :, row : row + x.shape[2], column : column + x.shape[3]] += spread
    return result + bias[:, None, None]


def _pool(x: Array, function: Any) -> Array:
    """Return windows of 3 columns and 2 rows, two columns and one row apart."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 3), (2, 3))
    return function(windows[:, :, :, ::2], axis=(4, 5))


def _doubled(x: Array) -> Array:
    """Return linear interpolation at i / 2 along the last axis, the last element repeated."""
    result = np.repeat(x, 2, -1)
    result[..., 1:-1:2] = (x[..., :-1] + x[..., 1:]) / 2
    return result


WEIGHT, BIAS = floats(5, 4, 3, 3), floats(5)
BACK, BACK_BIAS = floats(4, 3, 2, 2), floats(3)
CHANNELS = floats(4)
BLOCKS = floats(1, 2, 4, 4)
PICTURE = floats(1, 4, 4, 2)
BOXES = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]], np.float32)
RAMP = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
REGION = np.array([[0, 0, 0, 3, 3]], np.float32)
CODES = np.array([[-3, 4, 127]], np.int8)
SPREAD = CHANNELS[:, None, None]

_s2b = BLOCKS.reshape(1, 2, 2, 2, 2, 2).transpose(3, 5, 0, 1, 2, 4).reshape(4, 2, 2, 2)
_d2s_source = floats(1, 8, 2, 3)
_d2s = _d2s_source.reshape(1, 2, 2, 2, 2, 3).transpose(0, 3, 4, 1, 5, 2).reshape(1, 2, 4, 6)
_norm = IMAGE / np.sqrt((IMAGE**2).sum(1, keepdims=True) + 1e-6)
_shuffled = IMAGE.reshape(1, 2, 2, 4, 6).swapaxes(1, 2).reshape(1, 4, 4, 6)

CASES: dict[str, list[tuple[tuple[Any, ...], Any]]] = {
    "argmax": [((X,), X.argmax(0)), ((X, 1), X.argmax(1))],
    "argmin": [((X,), X.argmin(0)), ((X, -1), X.argmin(-1))],
    "avg_pool": [((IMAGE, [3, 2], [2, 1]), _pool(IMAGE, np.mean))],
    "max_pool": [((IMAGE, [3, 2], [2, 1]), _pool(IMAGE, np.max))],
    "batch_to_space_nd": [((nc4hw4(_s2b), [2, 2], [[0, 0], [0, 0]]), BLOCKS)],
    "space_to_batch_nd": [((nc4hw4(BLOCKS), [2, 2], [[0, 0], [0, 0]]), _s2b)],
    "bias_add": [((X, floats(3)[:] * 0 + 2), X + 2)],
    "broadcast_to": [((X, [4, 2, 3]), np.broadcast_to(X, (4, 2, 3)))],
    "cast": [
        ((HALVES, F.int), HALVES.astype(np.int32)),
        ((WHOLE,), WHOLE.astype(np.float32)),
        ((ints(300, -1), F.uint8), ints(300, -1).astype(np.uint8)),
    ],
    "channel_shuffle": [((nc4hw4(IMAGE), 2), _shuffled)],
    "clone": [((X,), X), ((X, True), X)],
    "concat": [(([X, Y], 1), np.concatenate([X, Y], 1)), (([X, Y], 0), np.concatenate([X, Y]))],
    "const": [(([1, 2, 3, 4], [2, 2]), [[1.0, 2.0], [3.0, 4.0]]), ((X, [2, 3]), X)],
    "conv2d": [
        ((nc4hw4(IMAGE), WEIGHT, BIAS), _conv(IMAGE, WEIGHT, BIAS, (1, 1), 0)),
        (
            (nc4hw4(IMAGE), WEIGHT, BIAS, [2, 1], [1, 1], [1, 1], 1, F.CAFFE),
            _conv(IMAGE, WEIGHT, BIAS, (2, 1), 1),
        ),
    ],
    "conv2d_transpose": [
        ((nc4hw4(IMAGE), BACK, BACK_BIAS), _conv_transpose(IMAGE, BACK, BACK_BIAS))
    ],
    "convert": [((IMAGE, F.NHWC), IMAGE.transpose(0, 2, 3, 1)), ((IMAGE, F.NC4HW4), IMAGE)],
    "crop": [((nc4hw4(IMAGE), floats(1, 4, 2, 3), 2, [1, 2]), IMAGE[:, :, 1:3, 2:5])],
    "crop_and_resize": [
        (
            (F.const(PICTURE, [1, 4, 4, 2], F.NHWC), [[0.0, 0.0, 1.0, 1.0]], [0], [2, 2]),
            PICTURE[:, ::3, ::3],
        )
    ],
    "cumprod": [((X,), X.cumprod(0)), ((X, 1), X.cumprod(1))],
    "cumsum": [((X,), X.cumsum(0)), ((X, 1), X.cumsum(1))],
    "depth_to_space": [((_d2s_source, 2), _d2s)],
    "space_to_depth": [((_d2s, 2), _d2s_source)],
    "dequant": [((CODES, [0.5], 1), (CODES.astype(np.float32) - 1) * 0.5)],
    "quant": [((nc4hw4(IMAGE), [20.0]), np.clip(_half_away(IMAGE * 20), -128, 127))],
    "detection_post_process": [
        (
            (
                np.zeros((1, 2, 4), np.float32),
                np.array([[[0.1, 0.9], [0.1, 0.2]]], np.float32),
                np.array([[0.5, 0.5, 1, 1], [0.5, 0.5, 1, 1]], np.float32),
                *(1, 1, 1, 1, 0.3, 0.5, False, [10.0, 10.0, 5.0, 5.0]),
            ),
            [[[[0.0, 0.0, 1.0, 1.0]]], [[0.0]], [[0.9]], [1.0]],
        )
    ],
    "eltwise_max": [((X, Y, []), np.maximum(X, Y))],
    "eltwise_prod": [((X, Y, []), X * Y)],
    "eltwise_sub": [((X, Y, []), X - Y), ((X, Y, [2.0, 3.0]), 2 * X - 3 * Y)],
    "eltwise_sum": [((X, Y, []), X + Y), ((X, Y, [2.0, 3.0]), 2 * X + 3 * Y)],
    "elu": [((X, 0.5), np.where(X > 0, X, 0.5 * np.expm1(X)))],
    "erfinv": [((_erf(SMALL).astype(np.float32),), SMALL)],
    "expand_dims": [((X, 1), X[:, None])],
    "fill": [(([2, 3], F.scalar(5.0)), np.full((2, 3), 5.0))],
    "gather": [((X, ints(1, 0, 1)), X[[1, 0, 1]])],
    "gather_nd": [((X, ints([1, 2], [0, 0])), X[[1, 0], [2, 0]])],
    "histogram": [((HALVES, 3, -3, 3), np.histogram(HALVES, 3, (-3, 3))[0] * 1.0)],
    "jsonop": [
        (
            ([X], '{"type": "UnaryOp", "main_type": "UnaryOp", "main": {"opType": "SQUARE"}}', 1),
            [X**2],
        ),
        (
            ([X], '{"type": "Softmax", "main_type": "Axis", "main": {"axis": 1}}', 1),
            [_softmax(X, 1)],
        ),
    ],
    "matmul": [
        ((X, Y.T.copy()), X @ Y.T),
        ((X, Y, True), X.T @ Y),
        ((X, Y, False, True), X @ Y.T),
    ],
    "matrix_band_part": [((RAMP[0, 0], 0, -1), np.triu(RAMP[0, 0]))],
    "moments": [
        ((IMAGE,), [IMAGE.mean((2, 3), keepdims=True), IMAGE.var((2, 3), keepdims=True)]),
        ((IMAGE, [1], None, False), [IMAGE.mean(1), IMAGE.var(1)]),
    ],
    "nms": [((BOXES, np.array([0.9, 0.8, 0.7], np.float32), 3, 0.5), [0, 2])],
    "normalize": [((nc4hw4(IMAGE), 0, 0, 1e-6, CHANNELS.tolist()), _norm * SPREAD)],
    "one_hot": [
        ((ints(1, 3, 0), 3), np.eye(4)[[1, 3, 0]][:, :3]),
        ((ints(1, 0), 2, 5.0, -1.0, 0), [[-1.0, 5.0], [5.0, -1.0]]),
    ],
    "pad": [
        ((X, [[1, 0], [0, 2]]), np.pad(X, ((1, 0), (0, 2)))),
        ((X, [[1, 1], [2, 0]], F.REFLECT), np.pad(X, ((1, 1), (2, 0)), "reflect")),
        ((X, [[1, 1], [2, 0]], F.SYMMETRIC), np.pad(X, ((1, 1), (2, 0)), "symmetric")),
    ],
    "prelu": [((nc4hw4(IMAGE), CHANNELS.tolist()), np.where(IMAGE > 0, IMAGE, IMAGE * SPREAD))],
    "range": [
        ((F.scalar(1), F.scalar(8), F.scalar(3)), [1, 4, 7]),
        ((0.0, 1.0, 0.25), np.r_[0:1:0.25]),
    ],
    "rank": [((IMAGE,), 4)],
    "raster": [(([X], [0, 6, 1, 3, 0, 6, 2, 1, 1, 3, 2], [3, 2]), X.T)],
    "relu": [((X,), np.maximum(X, 0)), ((ints(-1, 2).astype(np.float32), 0.1), [-0.1, 2.0])],
    "relu6": [((X * 9,), np.clip(X * 9, 0, 6)), ((X, -0.5, 0.5), np.clip(X, -0.5, 0.5))],
    "reshape": [((X, [3, 2]), X.reshape(3, 2)), ((X, [0, -1, 1]), X[..., None])],
    "resize": [((nc4hw4(IMAGE), 2.0, 1.0), _doubled(IMAGE))],
    "reverse": [((X, ints(1)), X[:, ::-1]), ((X, [0, 1]), X[::-1, ::-1])],
    "reverse_sequence": [((X, ints(2, 1), 0, 1), np.stack([X[0, [1, 0, 2]], X[1]]))],
    "roi_align": [
        (
            (nc4hw4(RAMP), REGION, 2, 2, 1.0, 2, True, F.AVEPOOL),
            [[[[1.5625, 3.0], [7.3125, 8.75]]]],
        ),
        ((nc4hw4(RAMP), REGION, 2, 2, 1.0, 2, False, F.AVEPOOL), [[[[3.75, 5.25], [9.75, 11.25]]]]),
    ],
    "roi_pooling": [((nc4hw4(RAMP), REGION, 2, 2, 1.0), [[[[5.0, 7.0], [13.0, 15.0]]]])],
    "scalar": [((3,), 3), ((2.5,), 2.5), ((2.5, F.int), 2)],
    "scale": [
        (
            (nc4hw4(IMAGE), 4, CHANNELS.tolist(), [1.0, 2.0, 3.0, 4.0]),
            IMAGE * SPREAD + np.arange(1, 5)[:, None, None],
        )
    ],
    "scatter_nd": [((ints([0], [0]), np.array([5, 6], np.float32), [4]), [6.0, 0.0, 0.0, 0.0])],
    "select": [
        ((WHOLE, X, Y), np.where(WHOLE, X, Y)),
        ((WHOLE > 0, X, 0.0), np.where(WHOLE > 0, X, 0)),
    ],
    "selu": [((X, 2.0, 0.5), 2 * np.where(X > 0, X, 0.5 * np.expm1(X)))],
    "setdiff1d": [((ints(1, 2, 3, 2), ints(2)), [1, 3])],
    "shape": [((IMAGE,), [1, 4, 4, 6])],
    "size": [((IMAGE,), 96)],
    "slice": [((X, [0, 1], [2, -1]), X[:, 1:])],
    "softmax": [((X,), _softmax(X, -1)), ((X, 0), _softmax(X, 0))],
    "sort": [
        ((X,), np.sort(X)),
        ((X, 0, False, True), np.sort(X, 0)[::-1]),
        ((X, -1, True), np.argsort(X, -1, kind="stable")),
    ],
    "split": [((X, 3, 1), np.split(X, 3, 1)), ((X, [1, 2], 1), [X[:, :1], X[:, 1:]])],
    "squeeze": [((X[None, :, None],), X), ((X[None, :, None], [0]), X[:, None])],
    "stack": [(([X, Y],), np.stack([X, Y])), (([X, Y], 2), np.stack([X, Y], 2))],
    "strided_slice": [
        ((X, [0, 2], [2, 0], [1, -1]), X[:, 2:0:-1]),
        ((X, [1, 0], [2, 2], [1, 1], 0, 2, 0, 0, 1), X[1, 0:]),
        ((X, [0, 0, 1], [0, 0, 2], [1, 1, 1], 0, 0, 2, 1, 0), X[None, :, 1:2]),
    ],
    "tile": [((X, [2, 1]), np.tile(X, (2, 1)))],
    "transpose": [((X, [1, 0]), X.T), ((IMAGE, [0, 2, 3, 1]), IMAGE.transpose(0, 2, 3, 1))],
    "unravel_index": [((ints(5, 0, 3), [2, 3]), np.stack(np.unravel_index([5, 0, 3], (2, 3))))],
    "unsqueeze": [((X, [0, 3]), X[None, ..., None])],
    "unstack": [((X,), list(X)), ((X, 1), list(X.T))],
    "where": [((WHOLE,), np.argwhere(WHOLE))],
    "zeros_like": [((WHOLE,), np.zeros_like(WHOLE))],
}

for _name, (_function, _operand) in UNARY.items():
    CASES[_name] = [((_operand,), _function(_operand.astype(np.float64)))]
for _name, (_function, _first, _second) in BINARY.items():
    CASES[_name] = [
        ((_first, _second), _function(_first, _second)),
        ((_first, 2), _function(_first, 2)),
    ]
for _name, (_function, _operand) in REDUCTIONS.items():
    CASES[_name] = [
        ((_operand,), _function(_operand)),
        ((_operand, [1]), _function(_operand, axis=1)),
        ((_operand, [0, 1], True), _function(_operand, axis=(0, 1), keepdims=True)),
    ]
