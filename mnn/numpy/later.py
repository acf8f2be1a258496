"""Names of the namespace whose modules are loaded when they are first used."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as _np

from mnn.numpy.absent import EXTENDED, reason

__all__ = ["SUBMODULES", "find"]

SUBMODULES = ("fft", "linalg", "random", "testing")

_NAMES = {
    "calling": ("apply_along_axis", "apply_over_axes", "frompyfunc", "vectorize"),
    "contraction": ("einsum", "einsum_path"),
    "files": (
        "fromfile",
        "genfromtxt",
        "load",
        "loadtxt",
        "memmap",
        "save",
        "savetxt",
        "savez",
        "savez_compressed",
    ),
    "grids": ("c_", "index_exp", "mgrid", "ogrid", "r_", "s_"),
    "iteration": ("broadcast", "flatiter", "ndenumerate", "ndindex", "nditer", "nested_iters"),
    "printing": (
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
    ),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}


def find(name: str) -> Any:
    """Return what `mnn.numpy` means by a name that it has not loaded yet.

    Raises:
        AttributeError: there is no such name; says why for names of NumPy.
    """
    if name in SUBMODULES:
        return importlib.import_module(f"mnn.numpy.{name}")
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"mnn.numpy.{_MODULE_OF[name]}"), name)
    if name == "dtypes":
        return _np.dtypes
    if name in EXTENDED and hasattr(_np, name):
        return getattr(_np, name)
    raise AttributeError(reason(name) or f"module 'mnn.numpy' has no attribute {name!r}")
