"""Comparison with NumPy, allowing for our default types (rules 1 and 4 of `mnn.expr.dtypes`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import MnnError
from mnn.expr.var import Var

# Where NumPy invents one of these types, the defaults give the other.
DEFAULTS = {
    ("float64", "float32"),
    ("float16", "float32"),
    ("int64", "int32"),
    ("complex128", "complex64"),
}
REFUSALS = (TypeError, ValueError, IndexError, OverflowError, ZeroDivisionError)


def agree(wanted: Any, found: Any, *, defaults: bool = True) -> None:
    """Assert that results are equal: values, shapes and types, of arrays or tuples of them."""
    if isinstance(wanted, (tuple, list)):
        assert isinstance(found, (tuple, list))
        assert len(wanted) == len(found)
        for one, two in zip(wanted, found, strict=True):
            agree(one, two, defaults=defaults)
        return
    want, have = np.asarray(wanted), np.asarray(found)
    assert want.shape == have.shape
    if want.dtype != have.dtype:
        assert defaults, (want.dtype, have.dtype)
        assert (want.dtype.name, have.dtype.name) in DEFAULTS
        if want.dtype == np.float16:
            with np.errstate(all="ignore"):
                have = have.astype(np.float16)
    if want.dtype.kind in "fc":
        tolerance = 2e-3 if want.dtype == np.float16 else 2e-6
        np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance)
    else:
        np.testing.assert_array_equal(have, want)


def wrapped(value: Any) -> Any:
    """Return arrays as Vars, also inside lists and tuples; other values as they are."""
    if isinstance(value, (np.ndarray, np.generic)):
        return Var(np.array(value))
    if isinstance(value, (list, tuple)) and any(isinstance(each, np.ndarray) for each in value):
        return type(value)(wrapped(each) for each in value)
    return value


def outcome(function: Any, *arguments: Any, **options: Any) -> Any:
    """Return the result of a call, or the error with which it refused."""
    with np.errstate(all="ignore"):
        try:
            return function(*arguments, **options)
        except REFUSALS as error:
            return error


def same_as_numpy(ours: Any, numpys: Any, *arguments: Any, **options: Any) -> None:
    """Assert that a call gives what NumPy's function gives, or that both refuse it."""
    want = outcome(numpys, *arguments, **options)
    have = outcome(
        ours,
        *(wrapped(each) for each in arguments),
        **{name: wrapped(each) for name, each in options.items()},
    )
    if isinstance(want, Exception) or isinstance(have, Exception):
        assert isinstance(want, Exception), have
        assert isinstance(have, Exception), have
        assert isinstance(have, (MnnError, *REFUSALS)), have
    else:
        agree(want, have)
