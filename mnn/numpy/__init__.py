"""NumPy's functions on the expression graph: `import mnn.numpy as np`.

Results equal NumPy's. Dtypes do too, but for the defaults: Python floats make float32, ints int32,
and float functions of integers float32 (see `mnn.expr.dtypes`).
"""

from __future__ import annotations

from math import e, inf, nan, pi

from numpy import (
    bool_,
    complex64,
    complex128,
    dtype,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    newaxis,
    uint8,
    uint16,
    uint32,
    uint64,
)

from mnn.expr.var import Var as ndarray  # noqa: N813 - NumPy's name
from mnn.numpy import linalg, methods, protocols, random
from mnn.numpy.creation import *
from mnn.numpy.elementwise import *
from mnn.numpy.manipulation import *
from mnn.numpy.reductions import *
from mnn.numpy.searching import *
from mnn.ops.convert import cast as astype
