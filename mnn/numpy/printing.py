"""Arrays and numbers as text, by NumPy's own printing and its settings."""

from __future__ import annotations

from typing import Any

import numpy as _np
from numpy import (
    base_repr,
    binary_repr,
    format_float_positional,
    format_float_scientific,
    get_printoptions,
    printoptions,
    set_printoptions,
)

from mnn.expr.var import Var
from mnn.numpy.hosting import computed
from mnn.ops.operands import array_of

__all__ = [
    "array2string",
    "array_repr",
    "array_str",
    "base_repr",
    "binary_repr",
    "format_float_positional",
    "format_float_scientific",
    "get_printoptions",
    "info",
    "printoptions",
    "set_printoptions",
    "show_config",
    "show_runtime",
]


def array2string(
    a: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
    separator: str = " ",
    prefix: str = "",
    *,
    formatter: Any = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    sign: str | None = None,
    floatmode: str | None = None,
    suffix: str = "",
    legacy: Any = None,
) -> str:
    """Return the elements as text; None takes the setting of `set_printoptions`.

    Args:
        a: array.
        max_line_width: characters in a line.    precision: digits of floats.
        suppress_small: write numbers near 0 without exponent.
        separator: between elements.    prefix, suffix: text around, whose width is kept free.
        formatter: functions that write elements, by kind of type.
        threshold: elements from which on some are left out.    edgeitems: how many stay then.
        sign: "+", "-" or " ".    floatmode: "fixed", "unique", "maxprec" or "maxprec_equal".
        legacy: a version of NumPy whose way to follow.
    """
    options = {
        "formatter": formatter,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "sign": sign,
        "floatmode": floatmode,
        "suffix": suffix,
        "legacy": legacy,
    }
    array = array_of(a, "array2string")
    text: str = computed(
        _np.array2string,
        array,
        max_line_width,
        precision,
        suppress_small,
        separator,
        prefix,
        **options,
    )
    return text


def array_repr(
    arr: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """Return an array as `array([...], dtype=...)`."""
    array = array_of(arr, "array_repr")
    return _np.array_repr(array, max_line_width, precision, suppress_small)


def array_str(
    a: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """Return the elements of an array as text."""
    return _np.array_str(array_of(a, "array_str"), max_line_width, precision, suppress_small)


def info(
    object: Any = None, maxwidth: int = 76, output: Any = None, toplevel: str = "numpy"
) -> None:
    """Write what an object is to `output`, or to the standard output, as NumPy does."""
    _np.info(object._array() if isinstance(object, Var) else object, maxwidth, output, toplevel)


def show_config(mode: str = "stdout") -> Any:
    """Show, or with mode="dicts" return, how the NumPy was built that serves this package."""
    return computed(_np.show_config, mode)


def show_runtime() -> None:
    """Show the processor and the libraries that NumPy uses."""
    _np.show_runtime()
