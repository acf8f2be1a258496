"""Window counts against counting, on numbers and on symbols."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.errors import ShapeError
from mnn.expr.symbols import fresh, substitute
from mnn.ops.reference import window_shapes as shapes

axis = st.fixed_dictionaries(
    {
        "kernel": st.integers(1, 4),
        "stride": st.integers(1, 4),
        "pads": st.tuples(st.integers(0, 3), st.integers(0, 3)),
    }
)


def _count(length: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int]) -> int:
    """Count the starts of windows that lie inside the padded axis."""
    reach = dilation * (kernel - 1)
    return sum(
        1 for start in range(0, length + sum(pads), stride) if start + reach < length + sum(pads)
    )


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), axis)
def test_conv_length_counts_windows(length: int, dilation: int, rule: dict[str, Any]) -> None:
    expected = _count(length, dilation=dilation, **rule)
    if not expected:
        with pytest.raises(ShapeError, match="smaller kernel"):
            shapes.conv_output_length(length, dilation=dilation, **rule)
        return
    assert shapes.conv_output_length(length, dilation=dilation, **rule) == expected


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), axis)
def test_same_padding_is_minimal(length: int, dilation: int, rule: dict[str, Any]) -> None:
    common = {"stride": rule["stride"], "dilation": dilation, "mode": "SAME"}
    begin, end = shapes.conv_padding(length, rule["kernel"], **common)
    count = shapes.conv_output_length(length, rule["kernel"], **common)
    assert count == len(range(0, length, rule["stride"]))
    covered = (count - 1) * rule["stride"] + dilation * (rule["kernel"] - 1) + 1
    assert begin + end == max(0, covered - length)
    assert end - begin in (0, 1)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 12), st.booleans(), axis)
def test_pool_length_counts_windows(length: int, clip: bool, rule: dict[str, Any]) -> None:
    padded = length + sum(rule["pads"])
    kernel = min(rule["kernel"], padded)
    whole = _count(length, kernel, rule["stride"], 1, rule["pads"])
    assert shapes.pool_output_length(length, **rule) == whole
    last = (whole - 1) * rule["stride"] + kernel
    hanging = whole + (last < padded)
    if clip:
        starts = range(0, length + rule["pads"][0], rule["stride"])
        hanging = min(hanging, len(starts))
    found = shapes.pool_output_length(length, **rule, ceil_mode=True, clip=clip)
    assert found == hanging
    assert shapes.pool_output_length(length, **rule, mode="VALID") == whole
    same = shapes.pool_output_length(length, **rule, mode="SAME")
    assert same == len(range(0, padded, rule["stride"]))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 2), axis)
def test_transposed_length_inverts(
    length: int, dilation: int, extra: int, rule: dict[str, Any]
) -> None:
    extra = min(extra, rule["stride"] - 1)
    full = (length - 1) * rule["stride"] + dilation * (rule["kernel"] - 1) + 1 + extra
    if full - sum(rule["pads"]) < 0:
        with pytest.raises(ShapeError, match="Reduce the padding"):
            shapes.transposed_output_length(length, dilation=dilation, **rule, output_padding=extra)
        return
    found = shapes.transposed_output_length(length, dilation=dilation, **rule, output_padding=extra)
    assert found == full - sum(rule["pads"])
    if found:
        assert shapes.conv_output_length(found, dilation=dilation, **rule) == length


@pytest.mark.parametrize("mode", ["CAFFE", "VALID", "SAME"])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_symbols_follow_numbers(mode: str, ceil_mode: bool) -> None:
    length = fresh("length")
    common: dict[str, Any] = {"stride": 3, "pads": (1, 2), "mode": mode}
    rules = [
        lambda n: shapes.conv_output_length(n, 3, dilation=2, **common),
        lambda n: shapes.transposed_output_length(n, 3, dilation=2, output_padding=1, **common),
        lambda n: shapes.pool_output_length(n, 3, ceil_mode=ceil_mode, **common),
    ]
    for rule in rules:
        symbolic = rule(length)
        for number in range(6, 20):
            assert substitute(symbolic, {length: number}) == rule(number)


def test_shapes_keep_symbols() -> None:
    batch, height = fresh("batch"), fresh("height")
    common = {"stride": (2, 1), "dilation": (1, 1), "pads": ((1, 1), (0, 0))}
    found = shapes.conv_shape((batch, height, 9, 3), (8, 3, 3, 3), **common, layout="NHWC")
    assert (found[0], found[2], found[3]) == (batch, 7, 8)
    assert substitute(found[1], {height: 10}) == 5
    found = shapes.pool_shape(
        (batch, 3, height, 9), kernel=(2, 2), stride=(1, 1), pads=((0, 0),) * 2
    )
    assert found[:2] == (batch, 3)
    assert substitute(found[2], {height: 10}) == 9
    found = shapes.conv_transpose_shape(
        (batch, 3, height, 9), (3, 4, 2, 2), output_padding=(0, 0), groups=3, **common
    )
    assert found[:2] == (batch, 12)
    assert substitute(found[2], {height: 10}) == 18


def test_empty_axes_stay_empty() -> None:
    assert shapes.conv_output_length(0, 3) == 0
    assert shapes.conv_output_length(0, 3, pads=(1, 1)) == 0
    assert shapes.conv_output_length(0, 3, mode="SAME", stride=2) == 0
    assert shapes.pool_output_length(0, 2, pads=(1, 1)) == 0
    assert shapes.transposed_output_length(0, 3, stride=2) == 0


BAD_CONV: list[tuple[dict[str, Any], str]] = [
    ({"input_shape": (1, 4, 8, 8)}, "input has 4 channels but weight expects 3"),
    ({"weight_shape": (16, 3, 3)}, "weight .* has 3 axes, expected 4"),
    ({"weight_shape": (5, 1, 3, 3), "groups": 3}, "do not divide into 3 groups"),
    ({"stride": (1,)}, "stride has 1 entries for 2"),
    ({"stride": (0, 1)}, "stride is .* at least 1"),
    ({"weight_shape": (16, 3, 9, 3)}, "kernel covers 9"),
    ({"layout": "HWCN"}, "layout 'HWCN' is unknown"),
    ({"mode": "FULL"}, "mode 'FULL' is unknown"),
    ({"input_shape": (1, 3), "weight_shape": (4, 3)}, "no spatial axis"),
]


@pytest.mark.parametrize(("change", "message"), BAD_CONV)
def test_bad_convolutions(change: dict[str, Any], message: str) -> None:
    call: dict[str, Any] = {
        "input_shape": (1, 3, 8, 8),
        "weight_shape": (16, 3, 3, 3),
        "stride": (1, 1),
        "dilation": (1, 1),
        "pads": ((0, 0), (0, 0)),
    }
    if "input_shape" in change and len(change["input_shape"]) == 2:
        call |= {"stride": (), "dilation": (), "pads": ()}
    with pytest.raises(ShapeError, match=message):
        shapes.conv_shape(**{**call, **change})


def test_bad_transposed_convolutions() -> None:
    call: dict[str, Any] = {
        "stride": (1, 1),
        "dilation": (1, 1),
        "pads": ((0, 0), (0, 0)),
        "output_padding": (0, 0),
    }
    with pytest.raises(ShapeError, match="input has 4 channels but weight expects 3"):
        shapes.conv_transpose_shape((1, 4, 8, 8), (3, 2, 3, 3), **call)
    with pytest.raises(ShapeError, match="in 2 groups"):
        shapes.conv_transpose_shape((1, 3, 8, 8), (3, 2, 3, 3), groups=2, **call)
    with pytest.raises(ShapeError, match="output_lengths has 1 entries"):
        shapes.conv_transpose_shape((1, 3, 8, 8), (3, 2, 3, 3), output_lengths=(4,), **call)


def test_bad_poolings() -> None:
    with pytest.raises(ShapeError, match="kernel has 1 entries"):
        shapes.pool_shape((1, 1, 4, 4), kernel=(2,), stride=(1, 1), pads=((0, 0),) * 2)
    with pytest.raises(ShapeError, match="no negative numbers"):
        shapes.pool_shape((1, 1, 4), kernel=(2,), stride=(1,), pads=((-1, 0),))
    with pytest.raises(ShapeError, match="kernel is"):
        shapes.pool_shape((1, 1, 4), kernel=(0,), stride=(1,), pads=((0, 0),))
