"""The array API's names, and old ones, for functions that have another name too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mnn.numpy import ufuncs as _ufuncs
from mnn.numpy.elementwise import round as round_

if TYPE_CHECKING:
    acos: Any
    acosh: Any
    asin: Any
    asinh: Any
    atan: Any
    atan2: Any
    atanh: Any
    bitwise_invert: Any
    bitwise_left_shift: Any
    bitwise_right_shift: Any
    pow: Any

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_right_shift",
    "pow",
    "round_",
]

for _alias, _name in {
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "bitwise_invert": "invert",
    "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift",
    "pow": "power",
}.items():
    globals()[_alias] = getattr(_ufuncs, _name)
