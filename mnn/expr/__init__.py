"""The expression graph and its public functions.

The operators live above this package, in `mnn.ops`; the last import makes their functions available
here under the reference package's names. `mnn/__init__.py` imports this package first, so that the
graph is complete before the operators attach themselves to it.
"""

from __future__ import annotations

from mnn.expr.dtypes import dtype
from mnn.expr.enums import (
    Backend,
    Interp_Method,
    MemoryMode,
    Padding_Mode,
    PadValue_Mode,
    Pooling_Mode,
    PowerMode,
    PrecisionMode,
    data_format,
)
from mnn.expr.modes import (
    gc,
    lazy_eval,
    set_global_executor_config,
    set_lazy_mode,
    set_thread_number,
)
from mnn.expr.var import Var

# isort: split
from mnn.ops.expr_api import *  # noqa: F403

# isort: split
from mnn.format.files import get_inputs_and_outputs, jsonop, load_as_dict, load_as_list, save

NCHW, NHWC, NC4HW4 = data_format.NCHW, data_format.NHWC, data_format.NC4HW4
CAFFE, VALID, SAME = Padding_Mode.CAFFE, Padding_Mode.VALID, Padding_Mode.SAME
MAXPOOL, AVEPOOL = Pooling_Mode.MAXPOOL, Pooling_Mode.AVEPOOL
CONSTANT, REFLECT = PadValue_Mode.CONSTANT, PadValue_Mode.REFLECT
SYMMETRIC = PadValue_Mode.SYMMETRIC
BILINEAR, NEAREST = Interp_Method.BILINEAR, Interp_Method.NEAREST
CPU, METAL, CUDA, OPENCL = Backend.CPU, Backend.METAL, Backend.CUDA, Backend.OPENCL
OPENGL, VULKAN, HIAI, TRT = Backend.OPENGL, Backend.VULKAN, Backend.HIAI, Backend.TRT
Normal, High = PrecisionMode.Normal, PrecisionMode.High
Low, Low_BF16 = PrecisionMode.Low, PrecisionMode.Low_BF16
double, int64, uint8, int8 = dtype.double, dtype.int64, dtype.uint8, dtype.int8
float = dtype.float
int = dtype.int
