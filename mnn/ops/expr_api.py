"""The public functions of `mnn.expr`, by family: one import statement each."""

from __future__ import annotations

from mnn.ops.arithmetic import (
    add,
    atan2,
    divide,
    floordiv,
    floormod,
    maximum,
    minimum,
    mod,
    multiply,
    negative,
    pow,
    squared_difference,
    subtract,
)
from mnn.ops.comparison import (
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_or,
    not_equal,
    select,
)
from mnn.ops.convert import cast, convert
from mnn.ops.create import clone, const, placeholder, scalar, zeros_like
from mnn.ops.matmul import matmul
from mnn.ops.trigonometry import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    cos,
    cosh,
    sin,
    sinh,
    tan,
    tanh,
)
from mnn.ops.unary import (
    abs,
    ceil,
    erf,
    erfc,
    erfinv,
    exp,
    expm1,
    floor,
    gelu,
    log,
    log1p,
    reciprocal,
    round,
    rsqrt,
    sigmoid,
    sign,
    softplus,
    softsign,
    sqrt,
    square,
)
from mnn.ops.activation import elu, prelu, relu, relu6, selu, softmax
from mnn.ops.reduce import (
    reduce_all,
    reduce_any,
    reduce_max,
    reduce_mean,
    reduce_min,
    reduce_prod,
    reduce_sum,
)
from mnn.ops.scan import argmax, argmin, cumprod, cumsum
