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
