"""Names of the namespace whose modules are loaded when they are first used."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as _np

from mnn.errors import DTypeError
from mnn.expr.dtypes import bfloat16_type
from mnn.numpy.absent import EXTENDED, reason

__all__ = ["SUBMODULES", "find"]

SUBMODULES = ("fft", "linalg", "polynomial", "random", "testing")

_NAMES = {
    "calculus": ("diff", "ediff1d", "gradient", "interp", "unwrap"),
    "calling": ("apply_along_axis", "apply_over_axes", "frompyfunc", "vectorize"),
    "choosing": ("choose", "compress", "extract", "piecewise", "place", "put", "putmask", "select"),
    "compiling": ("compile",),
    "contraction": ("einsum", "einsum_path"),
    "conversion": (
        "asarray_chkfinite",
        "asfarray",
        "asmatrix",
        "asscalar",
        "bmat",
        "copyto",
        "fill",
        "frombuffer",
        "fromiter",
        "fromstring",
        "mat",
        "matrix",
        "require",
        "resize",
    ),
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
    "histograms": (
        "bincount",
        "digitize",
        "histogram",
        "histogram2d",
        "histogram_bin_edges",
        "histogramdd",
    ),
    "indexing": (
        "ix_",
        "packbits",
        "put_along_axis",
        "ravel_multi_index",
        "unpackbits",
        "unravel_index",
    ),
    "iteration": ("broadcast", "flatiter", "ndenumerate", "ndindex", "nditer", "nested_iters"),
    "nans": (
        "nanargmax",
        "nanargmin",
        "nancumprod",
        "nancumsum",
        "nanmax",
        "nanmean",
        "nanmin",
        "nanprod",
        "nanstd",
        "nansum",
        "nanvar",
    ),
    "ordering": ("lexsort", "msort", "sort_complex", "trim_zeros"),
    "polynomials": (
        "poly",
        "poly1d",
        "polyadd",
        "polyder",
        "polydiv",
        "polyfit",
        "polyint",
        "polymul",
        "polysub",
        "polyval",
        "roots",
        "vander",
    ),
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
    "sets": (
        "in1d",
        "intersect1d",
        "isin",
        "setdiff1d",
        "setxor1d",
        "union1d",
        "unique",
        "unique_all",
        "unique_counts",
        "unique_inverse",
        "unique_values",
    ),
    "statistics": ("convolve", "corrcoef", "correlate", "cov"),
    "windows": ("bartlett", "blackman", "hamming", "hanning", "kaiser"),
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
    if name == "bfloat16":
        try:
            return bfloat16_type("mnn.numpy.bfloat16")
        except DTypeError as error:
            raise AttributeError(str(error)) from error
    if name in EXTENDED and hasattr(_np, name):
        return getattr(_np, name)
    raise AttributeError(reason(name) or f"module 'mnn.numpy' has no attribute {name!r}")
