"""NumPy's assertions, which take Vars: `mnn.numpy.testing.assert_allclose(var, array)`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numpy import testing as _testing
from numpy.testing import assert_raises, assert_raises_regex, assert_string_equal

from mnn.numpy.hosting import plain

__all__ = [
    "assert_",
    "assert_allclose",
    "assert_almost_equal",
    "assert_approx_equal",
    "assert_array_almost_equal",
    "assert_array_almost_equal_nulp",
    "assert_array_compare",
    "assert_array_equal",
    "assert_array_less",
    "assert_array_max_ulp",
    "assert_equal",
    "assert_raises",
    "assert_raises_regex",
    "assert_string_equal",
    "build_err_msg",
    "print_assert_equal",
]


def _on_arrays(name: str) -> Callable[..., Any]:
    """Return NumPy's assertion, given the arrays of the Vars that it is called with."""
    function = getattr(_testing, name)

    @functools.wraps(function)
    def assertion(*arguments: Any, **options: Any) -> Any:
        given = [plain(each) for each in arguments]
        return function(*given, **{key: plain(each) for key, each in options.items()})

    return assertion


assert_ = _on_arrays("assert_")
assert_allclose = _on_arrays("assert_allclose")
assert_almost_equal = _on_arrays("assert_almost_equal")
assert_approx_equal = _on_arrays("assert_approx_equal")
assert_array_almost_equal = _on_arrays("assert_array_almost_equal")
assert_array_almost_equal_nulp = _on_arrays("assert_array_almost_equal_nulp")
assert_array_compare = _on_arrays("assert_array_compare")
assert_array_equal = _on_arrays("assert_array_equal")
assert_array_less = _on_arrays("assert_array_less")
assert_array_max_ulp = _on_arrays("assert_array_max_ulp")
assert_equal = _on_arrays("assert_equal")
build_err_msg = _on_arrays("build_err_msg")
print_assert_equal = _on_arrays("print_assert_equal")


def __getattr__(name: str) -> Any:
    """Return what else NumPy's module has, which is not about arrays."""
    return getattr(_testing, name)
