"""Indexing and assignment against NumPy: random shapes and indices, in every mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mnn import expr
from mnn.config import config
from mnn.errors import DTypeError, EvaluationError, IndexRangeError, ShapeError
from mnn.expr.grad import gradients
from mnn.expr.symbols import shape_numbers
from mnn.expr.var import Var

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def numbered(shape: Shape, dtype: Any = np.float64) -> Array:
    """Return an array in which every element is different."""
    return np.arange(1, np.prod(shape, dtype=int) + 1).reshape(shape).astype(dtype)


# --- random indices ------------------------------------------------------------------------------


@st.composite
def slices(draw: st.DrawFn, size: int) -> slice:
    bound = st.none() | st.integers(-size - 2, size + 2)
    step = st.none() | st.sampled_from([1, 2, 3, -1, -2])
    return slice(draw(bound), draw(bound), draw(step))


@st.composite
def index_arrays(draw: st.DrawFn, size: int, shape: Shape) -> Array:
    # Now and then one past either end, so that refusals are compared too.
    slack = draw(st.sampled_from([0, 0, 0, 0, 1]))
    low, high = -size - slack, size - 1 + slack
    if low > high:
        return np.zeros((*shape, 0), np.int64)
    dtype = draw(st.sampled_from([np.int32, np.int64, np.int8]))
    return draw(arrays_of.arrays(dtype, shape, elements=st.integers(low, high)))


@st.composite
def advanced_items(draw: st.DrawFn, sizes: Shape, joined: Shape) -> tuple[Any, int]:
    """Return one advanced index and how many of the dimensions `sizes` it uses."""
    kinds = ["truth"]
    if sizes:
        kinds += ["array", "array", "mask", "number"]
    kind = draw(st.sampled_from(kinds))
    if kind == "truth":
        return draw(st.booleans()), 0
    if kind == "mask":
        count = draw(st.integers(1, len(sizes)))
        return draw(arrays_of.arrays(np.bool_, sizes[:count])), count
    if kind == "number":
        return draw(index_arrays(sizes[0], ())), 1
    # A shape that broadcasts to the common one.
    own = tuple(1 if draw(st.booleans()) else size for size in joined)
    return draw(index_arrays(sizes[0], own[draw(st.integers(0, len(own))) :])), 1


@st.composite
def indices(draw: st.DrawFn, shape: Shape) -> Any:
    """Return a NumPy index for an array of `shape`, right more often than not."""
    joined = draw(arrays_of.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    advanced = draw(st.booleans())
    items: list[Any] = []
    axis, dots = 0, False
    for _ in range(draw(st.integers(0, len(shape) + 2))):
        rest = shape[axis:]
        kinds = ["new"] if dots else ["new", "dots"]
        if rest:
            kinds += ["int", "slice", "slice"]
        if advanced:
            kinds += ["advanced", "advanced"]
        kind = draw(st.sampled_from(kinds))
        if kind == "new":
            items.append(None)
        elif kind == "dots":
            items.append(Ellipsis)
            axis, dots = axis + draw(st.integers(0, len(rest))), True
        elif kind == "int":
            number = draw(st.integers(-rest[0] - 1, rest[0]))
            items.append(
                draw(st.sampled_from([int, np.int64, np.uint8]))(number) if number >= 0 else number
            )
            axis += 1
        elif kind == "slice":
            items.append(draw(slices(rest[0])))
            axis += 1
        else:
            item, used = draw(advanced_items(rest, joined))
            items.append(item)
            axis += used
    if len(items) == 1 and draw(st.booleans()):
        return items[0]
    return tuple(items)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Shape, Any]:
    shape = draw(SHAPES)
    return shape, draw(indices(shape))


def ours(index: Any, spelling: int) -> Any:
    """Return the index as a user may spell it: arrays as they are, as Vars, or as lists."""
    if isinstance(index, tuple):
        return tuple(ours(each, spelling + place) for place, each in enumerate(index))
    if not isinstance(index, np.ndarray):
        return index
    if spelling % 3 == 0:
        return Var(index.copy())
    # An empty list cannot say what it is empty of.
    return index.tolist() if spelling % 3 == 1 and index.size and index.ndim else index


# --- outcomes ------------------------------------------------------------------------------------


def outcome(function: Callable[[], Any]) -> Any:
    """Return what a call returns, or the kind of its error."""
    try:
        return function()
    except (IndexError, ValueError, TypeError) as error:
        return next(kind for kind in (IndexError, ValueError, TypeError) if isinstance(error, kind))


def agree(found: Any, wanted: Any) -> None:
    if isinstance(wanted, type):
        assert found is wanted
        return
    assert isinstance(found, Var), found
    assert found.dtype == np.asarray(wanted).dtype
    assert found.shape == np.asarray(wanted).shape
    np.testing.assert_array_equal(found.read(), wanted)


SEPARATED = ((2, 3), (np.array([1]), Ellipsis, np.array([0])))
BETWEEN = ((2, 3, 4), (slice(None), np.array([1]), None, np.array([0])))
EMPTY_MASK = ((0, 1), (Ellipsis, np.zeros(0, np.bool_)))
TRUTH = ((2, 3), (slice(None), True, np.array([1, 0])))


@settings(max_examples=400, deadline=None)
@given(cases(), st.integers(0, 2))
@example(SEPARATED, 2)
@example(BETWEEN, 2)
@example(TRUTH, 2)
def test_eager_reading_equals_numpy(case: tuple[Shape, Any], spelling: int) -> None:
    shape, index = case
    array = numbered(shape)
    wanted = outcome(lambda: array[index])
    x = Var(array)
    found = outcome(lambda: x[ours(index, spelling)])
    agree(found, wanted)
    if isinstance(wanted, np.ndarray) and wanted.size:
        assert np.shares_memory(found._array(), array) == np.shares_memory(wanted, array)


@settings(max_examples=400, deadline=None)
@given(cases(), st.integers(0, 2))
@example(SEPARATED, 2)
@example(BETWEEN, 2)
@example(TRUTH, 2)
@example(EMPTY_MASK, 2)
def test_recorded_reading_equals_numpy(case: tuple[Shape, Any], spelling: int) -> None:
    shape, index = case
    array = numbered(shape)
    wanted = outcome(lambda: array[index])
    with config.using(lazy=True):
        x = Var(array.copy())

        def read() -> Var:
            result = x[ours(index, spelling)]
            declared = result._type.shape
            got = result.read()
            if declared is not None:
                assert len(declared) == got.ndim
                assert all(
                    size in (-1, real)
                    for size, real in zip(shape_numbers(declared), got.shape, strict=True)
                )
            return Var(got)

        agree(outcome(read), wanted)


@settings(max_examples=200, deadline=None)
@given(cases(), st.integers(0, 2))
def test_reading_an_array_of_unknown_sizes(case: tuple[Shape, Any], spelling: int) -> None:
    shape, index = case
    array = numbered(shape, np.float32)
    wanted = outcome(lambda: array[index])
    with config.using(lazy=True):
        x = expr.placeholder([-1] * len(shape))

        def read() -> Var:
            result = x[ours(index, spelling)]
            # Writing fills the sizes in, and the index is checked against them.
            x.write(array)
            return Var(result.read())

        agree(outcome(read), wanted)


@settings(max_examples=200, deadline=None)
@given(cases(), st.booleans())
def test_gradient_of_reading(case: tuple[Shape, Any], lazy: bool) -> None:
    shape, index = case
    array = numbered(shape)
    wanted = outcome(lambda: array[index])
    assume(not isinstance(wanted, type))
    seed = np.asarray(numbered(np.shape(wanted)) / 2)
    expected = np.zeros(shape)
    np.add.at(expected, index, seed)
    x = Var(array)
    x.fix_as_trainable()
    with config.using(lazy=lazy):
        y = x[ours(index, 2)]
        (found,) = gradients([y], [Var(seed)], [x])
    assert found is not None
    np.testing.assert_allclose(found.read(), expected)


# --- assignment ----------------------------------------------------------------------------------


@st.composite
def assignments(draw: st.DrawFn) -> tuple[Shape, Any, Array]:
    """Return a shape, an index, and a value that often broadcasts to the chosen elements."""
    shape, index = draw(cases())
    chosen = outcome(lambda: numbered(shape)[index])
    sizes: Shape = () if isinstance(chosen, type) else np.shape(chosen)
    sizes = tuple(1 if draw(st.integers(0, 3)) == 0 else size for size in sizes)
    sizes = sizes[draw(st.integers(0, len(sizes))) :]
    if draw(st.integers(0, 5)) == 0:
        sizes = (draw(st.integers(1, 2)), *sizes)
    dtype = draw(st.sampled_from([np.float64, np.float32, np.int32, np.bool_]))
    return shape, index, np.asarray(100 - numbered(sizes)).astype(dtype)


def assigned(array: Array, index: Any, value: Any) -> Array:
    """Return NumPy's result. With '...' its rules for values are those of broadcasting."""
    items = index if isinstance(index, tuple) else (index,)
    result = array.copy()
    result[items if any(each is Ellipsis for each in items) else (*items, Ellipsis)] = value
    return result


def fits(value: Array, chosen: Array) -> bool:
    sizes = list(value.shape)
    while len(sizes) > chosen.ndim and sizes[0] == 1:
        sizes.pop(0)
    pairs = zip(reversed(sizes), reversed(chosen.shape), strict=False)
    return len(sizes) <= chosen.ndim and all(one in (1, two) for one, two in pairs)


@settings(max_examples=400, deadline=None)
@given(assignments(), st.integers(0, 2), st.sampled_from([np.float64, np.float32, np.int16]))
def test_assignment_equals_numpy(case: tuple[Shape, Any, Array], spelling: int, dtype: Any) -> None:
    shape, index, value = case
    array = numbered(shape, dtype)
    wanted = outcome(lambda: assigned(array, index, value))
    # NumPy lets some shapes pass that do not broadcast when there is nothing to assign.
    assume(isinstance(wanted, type) or array[index].size or fits(value, array[index]))
    for lazy in (False, True):
        with config.using(lazy=lazy):
            x = Var(array.copy())

            def assign(x: Var = x) -> Var:
                x[ours(index, spelling)] = Var(value)
                return Var(x.read())

            found = outcome(assign)
            if lazy and isinstance(wanted, type):
                # Of two mistakes the graph sees the shape first, and NumPy the numbers.
                assert isinstance(found, type)
                continue
            agree(found, wanted)
            if isinstance(wanted, type):
                np.testing.assert_array_equal(x.read(), array)


@settings(max_examples=200, deadline=None)
@given(assignments(), st.booleans())
def test_gradient_of_assignment(case: tuple[Shape, Any, Array], lazy: bool) -> None:
    shape, index, value = case
    value = numbered(value.shape)
    array = numbered(shape)
    assume(not isinstance(outcome(lambda: assigned(array, index, value)), type))
    assume(fits(value, array[index]))
    # Where each element of the result comes from: the value's element number, or -1.
    source = assigned(np.full(shape, -1), index, np.arange(value.size).reshape(value.shape))
    seed = np.asarray(numbered(shape) / 2)
    to_value = np.zeros(value.size)
    np.add.at(to_value, source[source >= 0], seed[source >= 0])

    first, second = Var(array), Var(value)
    first.fix_as_trainable()
    second.fix_as_trainable()
    with config.using(lazy=lazy):
        x = first * 1.0
        x[ours(index, 2)] = second * 1.0
        found = gradients([x], [Var(seed)], [first, second])
    got = [np.zeros(each.shape) if each is None else each.read() for each in found]
    np.testing.assert_allclose(
        found[0].read() if found[0] is not None else 0, np.where(source < 0, seed, 0)
    )
    np.testing.assert_allclose(got[1], to_value.reshape(value.shape))


# --- what random cases do not say ----------------------------------------------------------------


def test_a_full_index_gives_something_that_acts_as_a_number() -> None:
    x = expr.const([[1.0, 2.0], [3.0, 4.0]], [2, 2])
    one = x[1, 0]
    assert one.shape == ()
    assert float(one) == 3.0
    assert one + 1 == 4.0
    assert [each.read().tolist() for each in x] == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    "index",
    ["a", 1.5, {}, [slice(1)], [1.0, 2.0], (0, 0, 0), 10**30, (..., ...), np.zeros(0)],
    ids=str,
)
def test_wrong_indices_are_index_errors(lazy: bool, index: Any) -> None:
    with config.using(lazy=lazy):
        x = expr.const(0.0, [2, 3])
        with pytest.raises(IndexRangeError):
            x[index]
        with pytest.raises(IndexRangeError):
            x[index] = 1.0


@pytest.mark.parametrize("lazy", [False, True])
def test_wrong_slices(lazy: bool) -> None:
    with config.using(lazy=lazy):
        x = expr.const(0.0, [4])
        with pytest.raises(ShapeError, match="step is 0"):
            x[::0]
        with pytest.raises(DTypeError, match="slice bound"):
            x["a":]  # type: ignore[misc]


def test_elements_cannot_be_deleted() -> None:
    x = expr.const(0.0, [3])
    with pytest.raises(TypeError, match="cannot delete array elements"):
        del x[0]  # type: ignore[attr-defined]


def test_views_share_memory_as_in_numpy() -> None:
    x = expr.const(0.0, [2, 3])
    row = x[1]
    row[0] = 5
    x[1, 2] = 7
    assert x.read().tolist() == [[0, 0, 0], [5, 0, 7]]
    assert row.read().tolist() == [5, 0, 7]
    x[:, 1:] = x[:, :-1]
    assert x.read().tolist() == [[0, 0, 0], [5, 5, 0]]


def test_values_a_dtype_cannot_hold() -> None:
    x = expr.const([1, 2], [2], expr.NCHW, expr.int)
    x[0] = 2.9
    assert x.read().tolist() == [2, 2]
    with pytest.raises(DTypeError, match="does not fit int32"):
        x[0] = 2**40
    with pytest.raises(DTypeError, match="real part"):
        x[0] = 1j
    assert x.read().tolist() == [2, 2]


def test_a_view_of_what_a_graph_holds_is_a_copy_when_written() -> None:
    with config.using(lazy=True):
        held = expr.const([1.0, 2.0, 3.0], [3])
        doubled = held * 2.0
        doubled.read()
    for var in (held, doubled):
        before = var.read().tolist()
        view = var[1:]
        view[...] = 99.0
        assert view.read().tolist() == [99.0, 99.0]
        assert var.read().tolist() == before


# --- assignment in graphs ------------------------------------------------------------------------


def test_earlier_users_keep_the_old_value() -> None:
    with config.using(lazy=True):
        p = expr.placeholder([3])
        x = p * 1.0
        before = x + 0.0
        x[1] = 9.0
        after = x + 0.0
        p.write([1.0, 2.0, 3.0])
        assert before.read().tolist() == [1, 2, 3]
        assert after.read().tolist() == [1, 9, 3]
        p.write([4.0, 5.0, 6.0])
        assert after.read().tolist() == [4, 9, 6]


def test_a_recorded_result_stays_recorded_when_assigned_eagerly() -> None:
    with config.using(lazy=True):
        p = expr.placeholder([2])
        x = p * 2.0
    x[0] = -1.0
    p.write([1.0, 2.0])
    assert x.read().tolist() == [-1, 4]
    p.write([3.0, 4.0])
    assert x.read().tolist() == [-1, 8]


def test_an_eager_write_to_a_leaf_reaches_its_users() -> None:
    with config.using(lazy=True):
        p = expr.placeholder([3])
        doubled = p * 2.0
        with pytest.raises(EvaluationError):
            doubled.read()
    with pytest.raises(EvaluationError, match="no value yet"):
        p[0] = 1.0
    p.write([1.0, 2.0, 3.0])
    assert doubled.read().tolist() == [2, 4, 6]
    p[1:] = [7.0, 8.0]
    assert doubled.read().tolist() == [2, 14, 16]


def test_shape_rules_see_numbers_assigned_to_a_constant() -> None:
    with config.using(lazy=True):
        sizes = expr.const([2, 3], [2], expr.NCHW, expr.int)
        x = expr.placeholder([6])
        y = expr.reshape(x, sizes)
    x.write([0.0] * 6)
    sizes[:] = [3, 2]
    assert y.shape == [3, 2]
    assert y.read().shape == (3, 2)
    with pytest.raises(ShapeError):
        sizes[:] = [4, 2]
    assert sizes.read().tolist() == [3, 2]
    assert y.read().shape == (3, 2)


@pytest.mark.parametrize("lazy", [False, True])
def test_parameters_are_storage(lazy: bool) -> None:
    w = Var(np.array([1.0, 2.0, 3.0], np.float32))
    w.fix_as_trainable()
    with config.using(lazy=lazy):
        loss = w * w
        w[0] = 5.0
        assert w.op_type == "Trainable"
        assert (w * w).read().tolist() == [25, 4, 9]
        (gradient,) = gradients([loss], [Var(np.ones(3, np.float32))], [w])
        assert gradient is not None
        assert gradient.read().tolist() == [10, 4, 6]


def test_what_depends_on_parameters_keeps_its_gradient() -> None:
    w = Var(np.array([1.0, 2.0], np.float32))
    w.fix_as_trainable()
    x = expr.const(0.0, [3])
    x[1:] = w * 2.0
    assert x.read().tolist() == [0, 2, 4]
    (gradient,) = gradients([x * x], [Var(np.ones(3, np.float32))], [w])
    assert gradient is not None
    assert gradient.read().tolist() == [8, 16]


@pytest.mark.parametrize(
    ("cut", "wanted"),
    [
        (lambda x, n: x[n:], lambda x, n: x[n:]),
        (lambda x, n: x[..., n::-1], lambda x, n: x[..., n::-1]),
        (lambda x, n: x[1, :, None, : n + 1], lambda x, n: x[1, :, None, : n + 1]),
        (lambda x, n: x[None, ..., -n:, [0, 1]], lambda x, n: x[None, ..., -n:, [0, 1]]),
        (lambda x, n: x[x[:, 0, 0] > 3.0, n:], lambda x, n: x[x[:, 0, 0] > 3.0, n:]),
    ],
)
def test_slice_bounds_computed_by_the_graph(cut: Any, wanted: Any) -> None:
    array = numbered((2, 3, 4), np.float32)
    with config.using(lazy=True):
        x, n = expr.placeholder([2, 3, 4]), expr.placeholder([], expr.NCHW, expr.int)
        x.write(array)
        n.write([1])
        y = cut(x, n)
        for number in (1, 2):
            n.write([number])
            np.testing.assert_array_equal(y.read(), wanted(array, number))


def test_assigning_at_a_bound_computed_by_the_graph_is_refused() -> None:
    with config.using(lazy=True):
        x, n = expr.placeholder([4]) * 1.0, expr.placeholder([], expr.NCHW, expr.int)
        with pytest.raises(NotImplementedError, match="slice bound"):
            x[:n] = 0.0
