"""Random numbers are NumPy's for equal seeds."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mnn.numpy as mnp
from mnn import expr
from mnn.expr.var import Var

Expression = Callable[..., Any]

DISTRIBUTIONS: list[Expression] = [
    lambda g: g.beta(1, 2, 3),
    lambda g: g.binomial(9, 0.3, (2, 2)),
    lambda g: g.chisquare(2, 3),
    lambda g: g.dirichlet([1, 2, 3], 2),
    lambda g: g.exponential(2.0, 3),
    lambda g: g.f(2, 3, 4),
    lambda g: g.gamma([1, 2], 2),
    lambda g: g.geometric(0.3, 4),
    lambda g: g.gumbel(size=3),
    lambda g: g.hypergeometric(5, 6, 7, 3),
    lambda g: g.laplace(loc=1, size=2),
    lambda g: g.logistic(0, [1, 2]),
    lambda g: g.lognormal(size=(2, 0)),
    lambda g: g.logseries(0.4, 3),
    lambda g: g.multinomial(9, [0.2, 0.8], 3),
    lambda g: g.multivariate_normal([0, 1], [[1, 0], [0, 2]], 3),
    lambda g: g.negative_binomial(3, 0.4, 2),
    lambda g: g.noncentral_chisquare(3, 2, 2),
    lambda g: g.noncentral_f(3, 2, 1, 2),
    lambda g: g.normal(1, 2, (2, 3)),
    lambda g: g.pareto(3, 2),
    lambda g: g.poisson([1, 5], (3, 2)),
    lambda g: g.power(2, 3),
    lambda g: g.rayleigh(2, 3),
    lambda g: g.standard_cauchy(3),
    lambda g: g.standard_exponential(3),
    lambda g: g.standard_gamma(2, 3),
    lambda g: g.standard_normal((2, 2)),
    lambda g: g.standard_t(3, 2),
    lambda g: g.triangular(0, 1, 3, 4),
    lambda g: g.uniform(-1, [1, 2]),
    lambda g: g.vonmises(0, 1, 3),
    lambda g: g.wald(1, 2, 3),
    lambda g: g.weibull(2, 3),
    lambda g: g.zipf(3, 2),
    lambda g: g.random(),
    lambda g: g.random((2, 3)),
    lambda g: g.normal(),
    lambda g: g.bytes(5),
    lambda g: g.choice(5, 3),
    lambda g: g.choice(5, (2, 2), False),
    lambda g: g.choice(np.arange(3.0), 4, p=np.array([0.5, 0.25, 0.25])),
    lambda g: g.choice(np.arange(6).reshape(3, 2)[:, 0]),
    lambda g: g.permutation(5),
    lambda g: g.permutation(np.arange(6).reshape(3, 2)),
    lambda g: g.exponential(-1),
    lambda g: g.choice(3, 4, replace=False),
    lambda g: g.choice(3, p=[0.5, 0.6, 0.7]),
]
OF_GENERATORS: list[Expression] = [
    lambda g: g.integers(10, size=5),
    lambda g: g.integers(-3, 3, (2, 2), np.int8, endpoint=True),
    lambda g: g.integers(0, 2, 4, dtype=bool),
    lambda g: g.integers(5, 5),
    lambda g: g.integers([1, 2], [5, 9]),
    lambda g: g.random(3, dtype=np.float32),
    lambda g: g.random(3, np.float32),
    lambda g: g.standard_normal(3, dtype=np.float32),
    lambda g: g.standard_exponential(3, method="inv"),
    lambda g: g.standard_gamma(2, 3, np.float32),
    lambda g: g.random(3, dtype=np.int32),
    lambda g: g.permuted(np.arange(6).reshape(2, 3), axis=1),
    lambda g: g.permuted(np.arange(6)),
    lambda g: g.permutation(np.arange(6).reshape(2, 3), axis=1),
    lambda g: g.choice(np.arange(6).reshape(2, 3), 2, axis=1, shuffle=False),
    lambda g: g.multivariate_hypergeometric([3, 4, 5], 6, 2),
    lambda g: g.multivariate_normal([0, 1], [[1, 0], [0, 2]], method="cholesky"),
]
OF_STATES: list[Expression] = [
    lambda g: g.rand(2, 3),
    lambda g: g.rand(),
    lambda g: g.randn(3),
    lambda g: g.randint(5, size=4),
    lambda g: g.randint(2, 5, (2, 2), np.uint8),
    lambda g: g.random_sample(3),
    lambda g: g.tomaxint(2),
]


def same(want: Any, have: Any) -> None:
    if isinstance(want, (float, int, bytes)) and not isinstance(want, np.generic):
        assert type(have) is type(want)
        assert have == want
        return
    assert isinstance(have, Var)
    assert (have.dtype, tuple(have.shape)) == (want.dtype, want.shape)
    np.testing.assert_array_equal(have, want)


def outcome(expression: Expression, source: Any) -> Any:
    try:
        return expression(source)
    except (ValueError, TypeError) as error:
        return type(error)


@pytest.mark.parametrize("number", range(len(DISTRIBUTIONS) + len(OF_GENERATORS)))
@pytest.mark.parametrize("bits", ["PCG64", "MT19937", "Philox", "SFC64"])
def test_generators(number: int, bits: str) -> None:
    expression = (DISTRIBUTIONS + OF_GENERATORS)[number]
    want = outcome(expression, np.random.Generator(getattr(np.random, bits)(7)))
    have = outcome(expression, mnp.random.Generator(getattr(mnp.random, bits)(7)))
    if isinstance(want, type):
        assert have is want
    else:
        same(want, have)


@pytest.mark.parametrize("number", range(len(DISTRIBUTIONS) + len(OF_STATES)))
def test_states(number: int) -> None:
    expression = (DISTRIBUTIONS + OF_STATES)[number]
    want = outcome(expression, np.random.RandomState(7))
    have = outcome(expression, mnp.random.RandomState(7))
    if isinstance(want, type):
        assert have is want
    else:
        same(want, have)


@pytest.mark.parametrize("number", range(len(DISTRIBUTIONS)))
def test_functions_on_the_shared_generator(number: int) -> None:
    expression = DISTRIBUTIONS[number]
    np.random.seed(3)
    mnp.random.seed(3)
    want, have = outcome(expression, np.random), outcome(expression, mnp.random)
    if isinstance(want, type):
        assert have is want
    elif have is not None and getattr(have, "dtype", None) == np.float32:
        np.testing.assert_array_equal(have, np.float32(want))  # `random`
    else:
        same(want, have)


def test_default_types_of_the_reference() -> None:
    for name in ("rand", "randn"):
        np.random.seed(5)
        mnp.random.seed(5)
        want = getattr(np.random, name)(2, 3)
        have = getattr(mnp.random, name)(2, 3)
        assert have.dtype == np.float32
        np.testing.assert_array_equal(have, want.astype(np.float32))
        mnp.random.seed(5)
        np.testing.assert_array_equal(getattr(mnp.random, name)(2, 3, dtype=np.float64), want)
    mnp.random.seed(5)
    assert mnp.random.random().dtype == np.float32
    assert mnp.random.random((2, 2), np.float64).dtype == np.float64
    for arguments in ((5,), (2, 9), (2, 9, (3, 2)), (5, None, 4, np.int64), (0, 2, 3, np.uint8)):
        np.random.seed(1)
        mnp.random.seed(1)
        have = mnp.random.randint(*arguments)
        np.testing.assert_array_equal(have, np.random.randint(*arguments))
        assert have.dtype == (arguments[3] if len(arguments) > 3 else np.int32)
    assert mnp.random.randint(2**40, size=2).dtype == np.int64
    with pytest.raises(ValueError, match="low"):
        mnp.random.randint(3, 3)


@pytest.mark.parametrize("lazy", [False, True])
def test_shuffling_in_place(lazy: bool) -> None:
    expr.lazy_eval(lazy)
    for shape in ((7,), (4, 3)):
        for axis in range(len(shape)):
            want = np.arange(np.prod(shape)).reshape(shape)
            have = mnp.array(want)
            np.random.default_rng(2).shuffle(want, axis)
            mnp.random.default_rng(2).shuffle(have, axis=axis)
            np.testing.assert_array_equal(have, want)
    want, have = np.arange(9), mnp.arange(9)
    np.random.seed(4)
    mnp.random.seed(4)
    np.random.shuffle(want)
    mnp.random.shuffle(have)
    np.testing.assert_array_equal(have, want)
    items = list("abcd")
    mnp.random.default_rng(0).shuffle(items)
    assert sorted(items) == list("abcd")


def test_numbers_written_to_out() -> None:
    for name, arguments in (
        ("random", ()),
        ("standard_normal", ()),
        ("standard_exponential", ()),
        ("standard_gamma", (2.0,)),
    ):
        want = getattr(np.random.default_rng(1), name)(*arguments, size=4)
        out = mnp.zeros(4, np.float64)
        assert getattr(mnp.random.default_rng(1), name)(*arguments, out=out) is out
        np.testing.assert_array_equal(out, want)
        with pytest.raises(TypeError):
            getattr(mnp.random.default_rng(1), name)(*arguments, out=mnp.zeros(4))
    out = mnp.zeros(4)
    mnp.random.default_rng(1).random(None, np.float32, out)
    np.testing.assert_array_equal(out, np.random.default_rng(1).random(4, np.float32))
    out = mnp.zeros(3, np.int64)
    mnp.random.default_rng(1).permuted(np.arange(3), out=out)
    np.testing.assert_array_equal(out, np.random.default_rng(1).permuted(np.arange(3)))


def test_places_in_streams() -> None:
    generator = mnp.random.default_rng(1)
    twin = pickle.loads(pickle.dumps(generator))
    np.testing.assert_array_equal(generator.random(3), twin.random(3))
    assert mnp.random.default_rng(generator) is generator
    assert mnp.random.default_rng(mnp.random.PCG64(3)).random() == np.random.default_rng(3).random()
    state = mnp.random.RandomState(2)
    clone = copy.deepcopy(state)
    np.testing.assert_array_equal(state.rand(3), clone.rand(3))
    place = state.get_state()
    first = state.rand(3)
    state.set_state(place)
    np.testing.assert_array_equal(state.rand(3), first)
    mnp.random.seed(9)
    place = mnp.random.get_state()
    first = mnp.random.rand(3)
    mnp.random.set_state(place)
    np.testing.assert_array_equal(mnp.random.rand(3), first)
    children = mnp.random.default_rng(5).spawn(2)
    wanted = np.random.default_rng(5).spawn(2)
    for one, two in zip(children, wanted, strict=True):
        assert one.random() == two.random()
    sequence = mnp.random.SeedSequence(5)
    assert sequence.entropy == 5
    assert "PCG64" in repr(generator)
    assert "MT19937" in repr(state)
    old = mnp.random.get_bit_generator()
    mnp.random.set_bit_generator(mnp.random.MT19937(3))
    assert mnp.random.random_sample() == np.random.RandomState(np.random.MT19937(3)).random_sample()
    mnp.random.set_bit_generator(old)


def test_elements_of_lists_have_default_types() -> None:
    generator = mnp.random.default_rng(0)
    assert generator.choice([1.5, 2.5], 3).dtype == np.float32
    assert generator.permutation([1, 2, 3]).dtype == np.int32
    assert generator.choice(mnp.arange(3), 2).dtype == np.int32
    assert generator.permutation(mnp.array(4)).shape == (4,)
    with pytest.raises(TypeError):
        generator.choice(["a", "b"])
