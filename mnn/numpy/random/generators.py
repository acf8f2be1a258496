"""NumPy's generators of random numbers, with Vars for arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as _np
from numpy import random as _random

from mnn.expr.dtypes import as_dtype
from mnn.expr.dtypes import dtype as _member
from mnn.expr.var import Var
from mnn.numpy.hosting import plain, wrapped
from mnn.ops.operands import array_of

__all__ = ["Generator", "RandomState", "call", "default_rng", "delegate"]

# Where `out` may stand among the positional arguments.
_OUT_PLACES = {"random": 2, "standard_normal": 2, "standard_exponential": 3, "standard_gamma": 3}
_TAKE_ELEMENTS = frozenset(("choice", "permutation", "permuted"))

DISTRIBUTIONS = """
    beta binomial chisquare dirichlet exponential f gamma geometric gumbel hypergeometric laplace
    logistic lognormal logseries multinomial multivariate_normal negative_binomial
    noncentral_chisquare noncentral_f normal pareto poisson power rayleigh standard_cauchy
    standard_exponential standard_gamma standard_normal standard_t triangular uniform vonmises
    wald weibull zipf random choice permutation bytes
""".split()  # noqa: SIM905 - reads better


def call(source: Any, name: str, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """Return what a method of one of NumPy's generators gives, as Vars.

    Args:
        source: NumPy's generator.    name: of the method.
        arguments, options: as NumPy takes them; arrays may be Vars, types Python's or ours.
    """
    given = list(arguments)
    place = _OUT_PLACES.get(name)
    if place is not None and len(given) > place:
        options = {**options, "out": given.pop(place)}
    out = options.get("out")
    if name in _TAKE_ELEMENTS:
        if given:
            given[0] = _elements(given[0], name)
        for key in ("a", "x"):
            if key in options:
                options = {**options, key: _elements(options[key], name)}
    given = [_argument(each) for each in given]
    named = {key: _argument(each) for key, each in options.items()}
    method = getattr(source, name)
    if not isinstance(out, Var):
        return wrapped(method(*given, **named))
    named["out"] = out._array().copy()
    out[...] = method(*given, **named)
    return out


def _argument(value: Any) -> Any:
    """Return an argument as NumPy wants it; only `dtype` can be a type."""
    return as_dtype(value) if isinstance(value, (type, _member)) else plain(value)


def _elements(value: Any, name: str) -> Any:
    """Return the elements to choose from, in our default types, or the number of them."""
    if isinstance(value, Var) and not value.ndim:
        return value._array()[()]
    return value if isinstance(value, (int, float, _np.generic)) else array_of(value, name)


def delegate(owner: type, name: str) -> Callable[..., Any]:
    """Return a method that does what the method of NumPy's class does, with Vars."""
    original = getattr(owner, name)

    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        return call(self._source, name, arguments, options)

    functools.update_wrapper(method, original, assigned=("__name__",))
    method.__doc__ = f"Do what `numpy.random.{owner.__name__}.{name}` does: the same stream."
    return method


def _shuffle(source: Any, x: Any, **options: Any) -> None:
    """Reorder the elements of a Var, array or list in place."""
    if not isinstance(x, Var):
        source.shuffle(x, **options)
        return
    elements = x._array().copy()
    source.shuffle(elements, **options)
    x[...] = elements


class Generator:
    """Random numbers from a bit generator: every distribution of `numpy.random.Generator`.

    Args:
        bit_generator: PCG64, MT19937, Philox, SFC64 or another of NumPy's, seeded.
    """

    def __init__(self, bit_generator: Any) -> None:
        self._source = _random.Generator(bit_generator)

    @property
    def bit_generator(self) -> _random.BitGenerator:
        """The source of the random bits."""
        return self._source.bit_generator

    def shuffle(self, x: Any, axis: int = 0) -> None:
        """Reorder a Var, array or list along `axis` in place."""
        _shuffle(self._source, x, axis=axis)

    def spawn(self, n_children: int) -> list[Generator]:
        """Return independent generators."""
        return [Generator(each.bit_generator) for each in self._source.spawn(n_children)]

    def __repr__(self) -> str:
        return f"Generator({type(self.bit_generator).__name__})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Generator, (self.bit_generator,)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class RandomState:
    """NumPy's older generator, whose streams never change.

    Args:
        seed: number, numbers, a bit generator, or None for an unforeseeable one.
    """

    def __init__(self, seed: Any = None) -> None:
        self._source = _random.RandomState(plain(seed))

    def shuffle(self, x: Any) -> None:
        """Reorder a Var, array or list along its first axis in place."""
        _shuffle(self._source, x)

    def seed(self, seed: Any = None) -> None:
        """Start the stream anew."""
        self._source.seed(plain(seed))

    def get_state(self, legacy: bool = True) -> Any:
        """Return where in the stream the generator is, as NumPy does."""
        source: Any = self._source
        return source.get_state(legacy)

    def set_state(self, state: Any) -> None:
        """Go to the place of a stream that `get_state` gave."""
        self._source.set_state(state)

    def __repr__(self) -> str:
        return f"RandomState({self._source._bit_generator.__class__.__name__})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.get_state(False),)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def _restored(state: Any) -> RandomState:
    """Return a generator at a place of a stream."""
    found = RandomState(getattr(_random, state["bit_generator"])())
    found.set_state(state)
    return found


for _name in (*DISTRIBUTIONS, "integers", "multivariate_hypergeometric", "permuted"):
    setattr(Generator, _name, delegate(_random.Generator, _name))
for _name in (
    *DISTRIBUTIONS,
    "rand",
    "randn",
    "randint",
    "random_integers",
    "random_sample",
    "tomaxint",
):
    setattr(RandomState, _name, delegate(_random.RandomState, _name))


def default_rng(seed: Any = None) -> Generator:
    """Return a generator on PCG64.

    Args:
        seed: number >= 0, numbers, a SeedSequence; a bit generator or generator to use; None: an
            unforeseeable seed.
    """
    if isinstance(seed, Generator):
        return seed
    if isinstance(seed, RandomState):
        seed = seed._source
    return Generator(_random.default_rng(plain(seed)).bit_generator)
