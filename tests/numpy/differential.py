"""Random arguments, and the comparison of a call with NumPy's in eager and in recorded mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from mnn.config import config
from mnn.errors import MnnError
from tests.numpy.agreement import REFUSALS, agree, outcome, wrapped

REAL = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
EVERY = (*REAL, "c8", "c16")
FLOATS = ("f2", "f4", "f8")
SPECIAL = (np.nan, np.inf, -np.inf, -0.0, 0.0)

tried = settings(max_examples=40, deadline=None, derandomize=True)
"""How often a property is tried, the same examples in every run."""


def numbers(
    random: np.random.Generator, shape: tuple[int, ...], dtype: str, *, special: float = 0.0
) -> np.ndarray[Any, Any]:
    """Return small numbers with ties, exact in every float type, and a share of special values."""
    wanted = np.dtype(dtype)
    steps = random.integers(-12, 13, shape)
    if wanted.kind == "b":
        return np.asarray(steps > 0)
    if wanted.kind == "u":
        return np.asarray(np.abs(steps)).astype(wanted)
    if wanted.kind == "i":
        return np.asarray(steps).astype(wanted)
    values = np.asarray(steps / 4)
    if wanted.kind == "c":
        values = values + 1j * random.integers(-4, 5, shape) / 4
    values = np.asarray(values).astype(wanted)
    if special:
        chosen = random.random(shape) < special
        values = np.asarray(np.where(chosen, random.choice(SPECIAL, shape), values)).astype(wanted)
    return np.asarray(values)


@st.composite
def arrays(
    draw: Any,
    dtypes: Sequence[str] = EVERY,
    *,
    ranks: tuple[int, int] = (0, 3),
    sizes: tuple[int, int] = (0, 4),
    special: float = 0.3,
) -> np.ndarray[Any, Any]:
    """Return arrays of any type, shape and memory layout; half of those of floats with NaN."""
    rank = draw(st.integers(*ranks))
    shape = tuple(draw(st.lists(st.integers(*sizes), min_size=rank, max_size=rank)))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    share = special if draw(st.booleans()) else 0.0
    layout = draw(st.integers(0, 3))
    dtype = draw(st.sampled_from(list(dtypes)))
    if layout == 1 and rank:
        whole = numbers(random, (*shape[:-1], 2 * shape[-1]), dtype, special=share)
        return whole[..., ::2]
    if layout == 2 and rank:
        return numbers(random, shape, dtype, special=share)[::-1]
    values = numbers(random, shape[::-1] if layout == 3 else shape, dtype, special=share)
    return values.T if layout == 3 else values


def axes_of(array: np.ndarray[Any, Any], *, several: bool = True) -> Any:
    """Return a strategy of axes for an array: None, numbers, tuples, and some out of range."""
    rank = array.ndim
    one = st.integers(-rank - 1, rank)
    choices = [st.none(), one]
    if several:
        choices.append(st.lists(st.integers(-rank, max(rank - 1, 0)), max_size=3).map(tuple))
    return st.one_of(*choices)


def quiet(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return the outcome of a call, without the warnings it gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return outcome(function, *arguments, **options)


def matches(
    ours: Callable[..., Any],
    numpys: Callable[..., Any],
    *arguments: Any,
    recorded: bool = True,
    defaults: bool = True,
    **options: Any,
) -> None:
    """Assert that a call gives what NumPy's gives, eager and recorded, or that all refuse it.

    Args:
        ours, numpys: the functions.
        arguments, options: of the call; arrays are given to ours as Vars.
        recorded: also call it while a graph is recorded.
        defaults: results may have our default types for NumPy's.
    """
    want = quiet(numpys, *arguments, **options)
    for lazy in (False, True) if recorded else (False,):
        with config.using(lazy=lazy):
            given = [wrapped(each) for each in arguments]
            named = {name: wrapped(each) for name, each in options.items()}
            have = quiet(lambda a=given, n=named: read(ours(*a, **n)))
        same(want, have, defaults=defaults)


def read(value: Any) -> Any:
    """Return results as arrays, so that a recorded graph computes them."""
    if isinstance(value, (tuple, list)):
        return tuple(read(each) for each in value)
    return np.array(value)


def same(want: Any, have: Any, *, defaults: bool = True) -> None:
    """Assert that two outcomes are equal, or errors of one builtin kind."""
    if isinstance(want, Exception) or isinstance(have, Exception):
        assert isinstance(want, Exception), have
        assert isinstance(have, Exception), want
        assert isinstance(have, (MnnError, *REFUSALS)), have
        kinds = [each for each in REFUSALS if isinstance(want, each)]
        assert isinstance(have, tuple(kinds)), (want, have)
        return
    with np.errstate(all="ignore"):
        agree(want, have, defaults=defaults)
