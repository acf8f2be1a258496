"""The expression graph and its public functions."""

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
