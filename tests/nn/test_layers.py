"""Layers: what they compute, how they begin, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mnn.expr as F  # noqa: N812
from mnn import nn, optim
from mnn.errors import DTypeError, SettingError, ShapeError

IMAGE = np.random.default_rng(1).standard_normal((2, 3, 5, 6)).astype(np.float32)


# --- convolution and fully connected -------------------------------------------------------------


def test_initial_values() -> None:
    layer = nn.conv(3, 8, [5, 4])
    assert layer.weight.shape == (8, 3, 4, 5)
    bound = np.sqrt(3 / (3 * 4 * 5))
    weight = layer.weight.read()
    assert np.abs(weight).max() <= bound
    assert np.abs(weight).max() > 0.95 * bound
    assert not layer.bias.read().any()
    full = nn.linear(3, 8)
    assert [each.shape for each in full.parameters] == [[1, 8], [8, 3]]
    assert np.abs(full.weight.read()).max() <= 1.0
    assert [len(nn.conv(1, 1, 1, bias=False).parameters), len(nn.linear(1, 1).parameters)] == [1, 2]


def test_a_seed_repeats_initial_values() -> None:
    nn.set_seed(5)
    one, two = nn.linear(4, 4), nn.linear(4, 4)
    nn.set_seed(5)
    again = nn.linear(4, 4)
    np.testing.assert_array_equal(again.weight.read(), one.weight.read())
    assert (two.weight.read() != one.weight.read()).any()


@pytest.mark.parametrize("layout", [F.NCHW, F.NHWC, F.NC4HW4])
def test_convolution_in_every_layout(layout: Any) -> None:
    layer = nn.conv(3, 4, [3, 2], stride=[2, 1], padding=[1, 0], padding_mode=F.CAFFE)
    layer.bias.write(np.arange(4))
    x = F.const(IMAGE, IMAGE.shape, F.NCHW)
    found = F.convert(layer(F.convert(x, layout)), F.NCHW).read()
    padded = np.pad(IMAGE, [(0, 0), (0, 0), (0, 0), (1, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2, 3), (2, 3))[:, :, :, ::2]
    wanted = np.einsum("nchwyx,ocyx->nohw", windows, layer.weight.read())
    wanted += np.arange(4).reshape(4, 1, 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_whole_numbers_of_any_kind() -> None:
    layer = nn.conv(np.int64(3), np.uint8(4), np.array([3, 2]), stride=np.int32(2))
    assert layer(IMAGE).shape == nn.conv(3, 4, [3, 2], [2, 2])(IMAGE).shape
    assert nn.conv(3, 4, 3)(IMAGE).shape == (2, 4, 3, 4)
    assert nn.conv(3, 3, 3, depthwise=True).weight.shape == (3, 1, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 2, 3), ShapeError, "in_channels is 0, expected at least 1"),
        ((2, -1, 3), ShapeError, "out_channels is -1"),
        (("a", 2, 3), DTypeError, "in_channels is 'a', expected an int"),
        ((2.5, 2, 3), DTypeError, "in_channels is 2.5"),
        ((2, 2, None), DTypeError, "kernel_size is None, expected an int or an"),
        ((2, 2, 3.5), DTypeError, "kernel_size is 3.5"),
        ((2, 2, "ab"), DTypeError, "kernel_size is 'ab'"),
        ((2, 2, [3, 0]), ShapeError, "kernel_size is 0"),
        ((2, 2, [1, 2, 3]), ShapeError, r"expected an \(x, y\) pair"),
        ((2, 2, 3, 0), ShapeError, "stride is 0"),
        ((2, 2, 3, 1, -1), ShapeError, "padding is -1, expected at least 0"),
        ((2, 2, 3, 1, 0, 0), ShapeError, "dilation is 0"),
        ((2, 4, 3, 1, 0, 1, True), ShapeError, "Expected equal numbers"),
        ((2, 2, 3, 1, 0, 1, False, True, 9), SettingError, "'CAFFE'"),
    ],
)
def test_bad_convolutions(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"conv: .*{message}"):
        nn.conv(*arguments)


@pytest.mark.parametrize("lazy", [False, True])
def test_bad_inputs(lazy: bool) -> None:
    F.lazy_eval(lazy)
    with pytest.raises(ShapeError, match="input has 3 channels but weight expects 2"):
        nn.conv(2, 2, 3)(IMAGE)
    with pytest.raises(DTypeError, match=r"int64.*Convert it with astype\(float32\)"):
        nn.conv(3, 2, 3)(IMAGE.astype(np.int64))
    assert nn.conv(3, 2, 3)(IMAGE.astype(np.float64)).dtype == np.float64
    with pytest.raises(ShapeError, match="columns meet"):
        nn.linear(2, 2)(np.ones((1, 3), np.float32))
    for size in (0, None, "x"):
        with pytest.raises((ShapeError, DTypeError), match="linear: out_channels is"):
            nn.linear(2, size)  # type: ignore[arg-type]


# --- batch normalisation -------------------------------------------------------------------------


def statistics(layer: Any) -> tuple[Any, Any]:
    return layer.running_mean.read().copy(), layer.running_variance.read().copy()


def followed(x: Any, mean: Any, variance: Any, momentum: float) -> tuple[Any, Any]:
    """Return the running statistics after a batch."""
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    return (
        momentum * mean + (1 - momentum) * x.mean(axes),
        momentum * variance + (1 - momentum) * x.var(axes),
    )


def close(found: Any, wanted: Any) -> None:
    for one, two in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("layout", [F.NCHW, F.NHWC])
def test_batch_norm(lazy: bool, layout: Any) -> None:
    F.lazy_eval(lazy)
    layer = nn.batch_norm(3, 4, 0.9)
    x = F.convert(F.const(IMAGE, IMAGE.shape, F.NCHW), layout)
    wanted = (np.zeros(3), np.zeros(3))
    for _ in range(3):
        y = F.convert(layer(x), F.NCHW).read()
        wanted = followed(IMAGE, *wanted, 0.9)
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(y.std((0, 2, 3)), 1, atol=1e-4)
    close(statistics(layer), wanted)
    layer.train(False)
    mean, variance = (each.reshape(3, 1, 1) for each in wanted)
    y = F.convert(layer(x), F.NCHW).read()
    np.testing.assert_allclose(y, (IMAGE - mean) / np.sqrt(variance + 1e-5), rtol=1e-4, atol=1e-5)
    close(statistics(layer), wanted)


def test_statistics_keep_their_place_among_the_parameters() -> None:
    layer = nn.batch_norm(3)
    before = layer.parameters
    assert [each.read()[0] for each in before] == [1, 0, 0, 0]
    layer(IMAGE)
    for lazy in (True, False):
        F.lazy_eval(lazy)
        layer(IMAGE)
        for one, two in zip(before, layer.parameters, strict=True):
            assert one is two
    assert before[3] is layer.running_mean


@pytest.mark.parametrize("lazy", [False, True])
def test_a_step_updates_statistics_once(lazy: bool) -> None:
    F.lazy_eval(lazy)
    layer = nn.batch_norm(3, 4, 0.5)
    trainer = optim.SGD(layer, 0.01)
    wanted = (np.zeros(3), np.zeros(3))
    for _ in range(3):
        trainer.step(F.reduce_sum(layer(IMAGE) * F.const(IMAGE, IMAGE.shape, F.NCHW)))
        wanted = followed(IMAGE, *wanted, 0.5)
    close(statistics(layer), wanted)


def test_a_graph_trained_again_and_again_updates_statistics_each_time() -> None:
    F.lazy_eval(True)
    layer = nn.batch_norm(3, 4, 0.5)
    trainer = optim.SGD(layer, 0.01)
    x = F.placeholder(list(IMAGE.shape), F.NCHW)
    loss = F.reduce_sum(F.square(layer(x)) * 0.5)
    assert [each.read().tolist() for each in layer.parameters[2:]] == [[0, 0, 0]] * 2
    wanted = (np.zeros(3), np.zeros(3))
    for turn in range(4):
        x.write(IMAGE + turn)
        assert trainer.step(loss)
        wanted = followed(IMAGE + turn, *wanted, 0.5)
    close(statistics(layer), wanted)


def test_one_layer_used_twice_observes_both_batches() -> None:
    for lazy in (False, True):
        F.lazy_eval(lazy)
        layer = nn.batch_norm(3, 4, 0.5)
        loss = F.reduce_sum(layer(IMAGE) * layer(IMAGE * 2 + 1))
        assert optim.SGD(layer, 0.0).step(loss)
        wanted = followed(IMAGE, np.zeros(3), np.zeros(3), 0.5)
        close(statistics(layer), followed(IMAGE * 2 + 1, *wanted, 0.5))


def test_bad_batch_norms() -> None:
    for channels, dims in ((0, 4), (3, 1), (3, 6)):
        with pytest.raises(ValueError, match=r"batch_norm: .*expected"):
            nn.batch_norm(channels, dims)
    for momentum, epsilon in ((1.5, 1e-5), (float("nan"), 1e-5), (0.9, -1.0), (0.9, float("nan"))):
        with pytest.raises(SettingError, match=r"expected 2..5, a number in \[0, 1\]"):
            nn.batch_norm(3, 4, momentum, epsilon)
    with pytest.raises(DTypeError, match="momentum is 'high', expected a number"):
        nn.batch_norm(3, 4, "high")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="expected 4 dimensions with 5 channels"):
        nn.batch_norm(5)(IMAGE)
    with pytest.raises(ShapeError, match="expected 2 dimensions with 3 channels"):
        nn.batch_norm(3, 2)(IMAGE)


# --- dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True])
def test_dropout(lazy: bool) -> None:
    F.lazy_eval(lazy)
    nn.set_seed(2)
    layer = nn.dropout(0.25)
    ones = np.ones((100, 100), np.float32)
    first, second = layer(ones).read(), layer(ones).read()
    assert set(np.unique(first)) == {0, np.float32(1 / 0.75)}
    assert abs(first.mean() - 1) < 0.02
    assert (first != second).any()
    layer.train(False)
    np.testing.assert_array_equal(layer(ones).read(), ones)
    np.testing.assert_array_equal(nn.dropout(0)(ones).read(), ones)


def test_dropout_of_a_graph_trained_again_draws_anew() -> None:
    F.lazy_eval(True)
    layer = nn.linear(1, 200)
    drop = nn.dropout(0.5)
    layer.drop = drop
    x = F.placeholder([1, 1], F.NCHW)
    kept = drop(layer(x))
    loss = F.reduce_sum(kept * 0.0)
    x.write([1.0])
    trainer = optim.SGD(layer, 0.0)
    masks = []
    for _ in range(3):
        masks.append(kept.read() != 0)
        np.testing.assert_array_equal(masks[-1], kept.read() != 0)
        trainer.step(loss)
    assert (masks[0] != masks[1]).any()
    assert (masks[1] != masks[2]).any()


@pytest.mark.parametrize("ratio", [1, 2, -0.1, float("nan"), "half", None])
def test_bad_dropout(ratio: Any) -> None:
    with pytest.raises((SettingError, DTypeError), match=r"dropout: ratio .*expected a number"):
        nn.dropout(ratio)
