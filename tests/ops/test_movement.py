"""Movement with unknown sizes and in gradients: what one sample per operator does not show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from mnn import expr
from mnn.config import config
from mnn.errors import DTypeError, GradientError, IndexRangeError, ShapeError
from mnn.expr.grad import gradients
from mnn.expr.var import Var
from mnn.ops.diagonal import eye_like
from mnn.ops.padding import pad
from mnn.ops.scatter import scatter_elements
from mnn.ops.shape import linspace
from mnn.ops.slicing import slice_steps
from mnn.ops.transpose import moveaxis, swapaxes

Array = np.ndarray[Any, Any]


def numbered(*shape: int) -> Array:
    return np.arange(1, np.prod(shape, dtype=int) + 1).reshape(shape).astype(np.float32)


def unknown(array: Array, format: Any = expr.NCHW) -> Var:
    """Return an input of any size that holds `array`; call while recording."""
    return expr.placeholder([-1] * array.ndim, format)


def known_and_unknown(
    function: Callable[..., Any], *arrays: Array, format: Any = expr.NCHW
) -> None:
    """Check that a function gives the same for sizes known at once, recorded, and not known."""
    eager = function(*(expr.const(each, each.shape, format) for each in arrays))
    with config.using(lazy=True):
        inputs = [unknown(each, format) for each in arrays]
        results = function(*inputs)
        listed = results if isinstance(results, (list, tuple)) else [results]
        for x, array in zip(inputs, arrays, strict=True):
            x.write(array)
        found = [each.read() for each in listed]
    wanted = eager if isinstance(eager, (list, tuple)) else [eager]
    assert len(found) == len(wanted)
    for one, two in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, two.read())


IMAGE = numbered(4, 4, 6, 4)


@pytest.mark.parametrize("format", [expr.NCHW, expr.NHWC], ids=["NCHW", "NHWC"])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: expr.space_to_batch_nd(x, [2, 2], [[1, 1], [0, 2]]),
        lambda x: expr.space_to_batch_nd(x, [2], [[0, 0]]),
        lambda x: expr.batch_to_space_nd(x, [2, 2], [[1, 0], [0, 2]]),
        lambda x: expr.batch_to_space_nd(x, [2, 1], [[0, 0], [0, 0]]),
        lambda x: expr.channel_shuffle(x, 2),
        lambda x: expr.depth_to_space(x, 2),
        lambda x: expr.space_to_depth(x, 2),
        lambda x: expr.split(x, 2, 2),
        lambda x: expr.split(x, [1, -1], 3),
        lambda x: expr.tile(x, [2, 1, 1, 3]),
        lambda x: expr.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]]),
        lambda x: expr.concat([x, x[:, 1:]], 1),
        lambda x: expr.reshape(x, [0, -1, 2]),
        lambda x: expr.reshape(x, [-1, expr.shape(x)[3]]),
        lambda x: swapaxes(x, 0, -1),
        lambda x: moveaxis(x, [0, 1], [-1, 0]),
        lambda x: expr.strided_slice(x, [0, 1], [0, 9], [1, 2], 1, 0, 0, 0, 1),
    ],
)
def test_sizes_may_be_unknown(function: Callable[..., Any], format: Any) -> None:
    known_and_unknown(function, IMAGE, format=format)


def test_crop_takes_the_sizes_of_an_array_of_unknown_size() -> None:
    known_and_unknown(lambda x, y: expr.crop(x, y, 2, [1, 2]), IMAGE, numbered(1, 1, 2, 1))
    with pytest.raises(ShapeError, match="leaves axis 2"):
        expr.crop(expr.const(IMAGE, IMAGE.shape), expr.const(0.0, [1, 1, 6, 1]), 2, [1, 2])


def test_space_and_batch_undo_each_other() -> None:
    x = expr.const(IMAGE, IMAGE.shape)
    blocks, pairs = [2, 3], [[1, 1], [0, 2]]
    there = expr.space_to_batch_nd(x, blocks, pairs)
    assert there.shape == [24, 4, 4, 2]
    assert (expr.batch_to_space_nd(there, blocks, pairs) == x).read().all()
    with pytest.raises(ShapeError, match="not a multiple"):
        expr.space_to_batch_nd(x, [4, 1], [[0, 0], [0, 0]])
    with pytest.raises(ShapeError, match="remove more"):
        expr.batch_to_space_nd(x, [2, 2], [[9, 9], [0, 0]])
    with pytest.raises(ShapeError, match="pair per spatial axis"):
        expr.space_to_batch_nd(x, [2, 2], [[0, 0]])


def test_the_number_of_results_is_fixed_while_recording() -> None:
    with config.using(lazy=True):
        x = expr.placeholder([-1, 2])
        with pytest.raises(ShapeError, match="not known yet"):
            expr.unstack(x)
        assert len(expr.unstack(x, 1)) == 2
        parts = expr.split(x, 2)
        x.write(numbered(4, 2))
        assert [each.shape for each in parts] == [[2, 2], [2, 2]]
        with pytest.raises(ShapeError, match="no 2 equal parts"):
            x.resize([3, 2])


# --- gradients -----------------------------------------------------------------------------------


def derivative(function: Callable[..., Var], arrays: Sequence[Array], seed: Array) -> list[Array]:
    """Return the gradients of a function of inputs whose sizes are not known while recording."""
    with config.using(lazy=True):
        inputs = [unknown(each) for each in arrays]
        y = function(*inputs)
        s = unknown(seed)
        found = gradients([y * s], [expr.zeros_like(y) + 1.0], inputs)
        for x, array in zip([*inputs, s], [*arrays, seed], strict=True):
            x.write(array)
        return [
            np.zeros(a.shape) if g is None else g.read() for g, a in zip(found, arrays, strict=True)
        ]


def test_gradients_with_unknown_sizes() -> None:
    one, two = numbered(2, 3), numbered(1, 3)
    seed = numbered(3, 3)
    first, second = derivative(lambda x, y: expr.concat([x, y], 0), [one, two], seed)
    np.testing.assert_array_equal(first, seed[:2])
    np.testing.assert_array_equal(second, seed[2:])

    seed = numbered(4, 9)
    (found,) = derivative(lambda x: expr.tile(x, [2, 3]), [one], seed)
    np.testing.assert_array_equal(found, seed.reshape(2, 2, 3, 3).sum((0, 2)))

    seed = numbered(2, 2)
    (found,) = derivative(lambda x: expr.pad(x, [[0, 0], [0, -1]]), [one], seed)
    np.testing.assert_array_equal(found, np.pad(seed, [(0, 0), (0, 1)]))


def test_gradient_of_a_slice_whose_bounds_change() -> None:
    with config.using(lazy=True):
        x, n = expr.placeholder([5]), expr.placeholder([1], expr.NCHW, expr.int)
        y = slice_steps(x, n, np.array([5], np.int32))
        (found,) = gradients([y], [expr.zeros_like(y) + 1.0], [x])
        assert found is not None
        x.write(numbered(5))
        for start in (1, 3):
            n.write([start])
            assert found.read().tolist() == [0.0] * start + [1.0] * (5 - start)


def test_raster_gradient_reaches_every_source() -> None:
    line = [0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 2]
    a, b = Var(numbered(2)), Var(numbered(2))
    a.fix_as_trainable()
    b.fix_as_trainable()
    # The second region covers the last element of the first.
    y = expr.raster([a, b], [*line, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 2], [3])
    assert y.read().tolist() == [1, 1, 2]
    found = gradients([y], [Var(np.array([3, 5, 7], np.float32))], [a, b])
    assert [each.read().tolist() for each in found if each is not None] == [[3, 0], [5, 7]]
    # One element read three times gets three gradients.
    y = expr.raster([a], [1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 3], [3])
    (only,) = gradients([y], [Var(np.array([3, 5, 7], np.float32))], [a])
    assert only is not None
    assert only.read().tolist() == [0, 15]


def test_pad_value_learns() -> None:
    value = Var(np.array(2.0, np.float32))
    value.fix_as_trainable()
    y = pad(numbered(2), [[1, 2]], value=value)
    assert y.read().tolist() == [2, 1, 2, 2, 2]
    (found,) = gradients([y], [Var(np.array([1, 10, 10, 2, 3], np.float32))], [value])
    assert found is not None
    assert found.read() == 6.0


def test_scatter_gradients_follow_the_last_writer() -> None:
    data, updates = Var(numbered(3)), Var(numbered(3) * 10)
    data.fix_as_trainable()
    updates.fix_as_trainable()
    indices = np.array([[1], [0], [1]], np.int32)
    seed = Var(np.array([1, 2, 4], np.float32))
    y = expr.scatter_nd(indices, updates, [3], data)
    assert y.read().tolist() == [20, 30, 3]
    found = gradients([y], [seed], [data, updates])
    assert [each.read().tolist() for each in found if each is not None] == [[0, 0, 4], [0, 1, 2]]
    y = scatter_elements(data, indices[:, 0], updates)
    found = gradients([y], [seed], [data, updates])
    assert [each.read().tolist() for each in found if each is not None] == [[0, 0, 4], [0, 1, 2]]
    # Equal elements share.
    y = expr.scatter_nd(indices[:1], np.array([2], np.float32), [3], data, "max")
    (only,) = gradients([y], [seed], [data])
    assert only is not None
    assert only.read().tolist() == [1, 1, 4]
    with pytest.raises(GradientError, match="mul"):
        gradients([expr.scatter_nd(indices, updates, [3], data, "mul")], [seed], [data])


# --- what is refused -----------------------------------------------------------------------------


def test_wrong_movement() -> None:
    x = expr.const(numbered(2, 3), [2, 3])
    with pytest.raises(DTypeError, match="paddings"):
        expr.pad(x, [[1.5, 0.0], [0.0, 0.0]])
    with pytest.raises(DTypeError, match="shape"):
        expr.reshape(x, expr.const([3.0, 2.0], [2]))
    with pytest.raises(IndexRangeError, match="source with 6 elements"):
        expr.raster([x], [0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 7], [7])
    with pytest.raises(ShapeError, match="no sources"):
        expr.raster([], [], [1])
    with pytest.raises(ShapeError, match="no 0 equal parts"):
        expr.split(x, 0)
    with pytest.raises(IndexRangeError):
        expr.gather(x, [2])


def test_wrong_constants_are_found_while_recording() -> None:
    with config.using(lazy=True):
        x = expr.placeholder([2, 3])
        with pytest.raises(ShapeError, match="expected matrices"):
            expr.matrix_band_part(x[0], num_lower=1, num_upper=0)
        with pytest.raises(ShapeError, match="one length"):
            expr.reverse_sequence(x, [1, 2, 3], 0, 1)
        with pytest.raises(IndexRangeError):
            expr.raster([x], [0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 7], [7])


# --- small things --------------------------------------------------------------------------------


def test_linspace_equals_numpy() -> None:
    for start, stop, count in [(0.0, 1.0, 7), (3, -2, 4), (1.0, 1.0, 3), (2.0, 5.0, 1), (0, 1, 0)]:
        found = linspace(start, stop, count)
        assert found.dtype == np.float32
        np.testing.assert_allclose(
            found.read(), np.linspace(start, stop, count), rtol=1e-6, atol=1e-7
        )
    wide = linspace(np.float64(0.1), np.float64(0.7), 9)
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide.read(), np.linspace(0.1, 0.7, 9), rtol=1e-15)
    assert linspace(0.1, 0.7, 9).read()[-1] == np.float32(0.7)
    with pytest.raises(ShapeError):
        linspace(0, 1, -1)


@pytest.mark.parametrize("k", [-1, 0, 2])
def test_eye_like_equals_numpy(k: int) -> None:
    known_and_unknown(lambda x: eye_like(x, k), numbered(2, 4))
    found = eye_like(expr.const(0, [2, 4], expr.NCHW, expr.int), k)
    np.testing.assert_array_equal(found.read(), np.eye(2, 4, k, dtype=np.int32))


def test_matrix_band_part_takes_its_arguments_by_name() -> None:
    x = expr.const(1.0, [3, 3])
    found = expr.matrix_band_part(x, num_lower=0, num_upper=-1)
    np.testing.assert_array_equal(found.read(), np.triu(np.ones((3, 3))))
