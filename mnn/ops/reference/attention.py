"""Softmax, scaled dot product attention and rotary positions.

Vaswani et al., "Attention Is All You Need" (2017); grouped heads: Ainslie et al., "GQA" (2023);
rotary positions: Su et al., "RoFormer" (2021).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.ops.reference.precision import Array, DType, float_types

__all__ = ["attention", "attention_shape", "log_softmax", "rope", "rope_tables", "softmax"]


def _peak(x: Array, axis: int) -> Array:
    """Return the maximum along `axis` as a column; -inf along an empty axis."""
    result: Array = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    return result


def softmax(x: Array, axis: int = -1) -> Array:
    """Return exp(x) / sum(exp(x)) along `axis`, without overflow.

    A row of which all are -inf, or that holds +inf or NaN, gives NaN.

    Raises:
        DTypeError: not floating-point.
    """
    result, work = float_types("softmax", x)
    with np.errstate(invalid="ignore", under="ignore"):
        grown: Array = np.exp(x.astype(work, copy=False) - _peak(x, axis))
        grown /= grown.sum(axis=axis, keepdims=True)
    return grown.astype(result, copy=False)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """Return the logarithm of `softmax`, exact also where the softmax underflows."""
    result, work = float_types("log_softmax", x)
    with np.errstate(invalid="ignore", under="ignore", divide="ignore"):
        shifted = x.astype(work, copy=False) - _peak(x, axis)
        shifted -= np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return shifted.astype(result, copy=False)


def _differ(first: Any, second: Any) -> bool:
    """Return whether two sizes are known to differ."""
    return isinstance(first, int) and isinstance(second, int) and first != second


def attention_shape(
    query: tuple[Any, ...], key: tuple[Any, ...], value: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Return (batch, query length, heads * value size); sizes may be symbols.

    Raises:
        ShapeError: an operand is not 4-D, or batch, lengths, sizes or heads do not fit.
    """
    shapes = f"query {query}, key {key}, value {value}"
    if not len(query) == len(key) == len(value) == 4:
        raise ShapeError(
            f"attention: found {shapes}, expected (batch, length, heads, size) each. "
            "Split the last axis into heads first."
        )
    batch, length, heads, size = query
    pairs = [(key[0], batch), (key[3], size), *zip(key[:3], value[:3], strict=True)]
    if any(_differ(*pair) for pair in pairs):
        raise ShapeError(
            f"attention: {shapes} do not fit. Expected equal batches, equal sizes of query and "
            "key, and equal lengths and heads of key and value."
        )
    groups = key[2]
    if _differ(groups, heads) and (groups == 0 or heads % groups):
        raise ShapeError(
            f"attention: {heads} query heads cannot share {groups} key heads. Expected a multiple."
        )
    return (batch, length, heads * value[3])


def _visible(mask: Array | None, causal: bool, queries: int, keys: int) -> Array | None:
    """Return True where a query may look, or None when it may look everywhere."""
    seen: Array | None = None
    if causal:
        seen = np.tri(queries, keys, keys - queries, dtype=bool)
    if mask is not None and mask.dtype.kind in "biu":
        allowed = mask != 0
        seen = allowed if seen is None else seen & allowed
    return seen


def _weights(scores: Array) -> Array:
    """Return the softmax of the last axis in place; rows that see nothing become zeros."""
    peak = _peak(scores, -1)
    scores -= np.where(np.isneginf(peak), 0, peak)
    np.exp(scores, out=scores)
    total = scores.sum(axis=-1, keepdims=True)
    scores /= np.where(total == 0, 1, total)
    return scores


def attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    *,
    scale: float | None = None,
    causal: bool | None = None,
) -> Array:
    """Return softmax(query key^T * scale + mask) value, the heads side by side.

    Args:
        query: (batch, length, heads, size).
        key: (batch, key length, key heads, size); query head h uses key head
            h // (heads / key heads).
        value: (batch, key length, key heads, value size).
        mask: broadcasts to (batch, heads, length, key length). Floating-point: added to the
            scores. Boolean or integer: nonzero means visible.
        scale: 1 / sqrt(size) by default.
        causal: hide later keys; the last query is level with the last key. By default
            True exactly when there is no mask.

    Returns:
        (batch, length, heads * value size). A query that sees nothing gives zeros.

    Raises:
        ShapeError: shapes do not fit.    DTypeError: query, key or value is not floating-point.
    """
    additive = mask if mask is not None and mask.dtype.kind not in "biu" else None
    result, work = float_types("attention", query, key, value)
    float_types("attention", query, additive)
    shape = attention_shape(query.shape, key.shape, value.shape)
    batch, length, heads, size = query.shape
    keys, groups = key.shape[1], max(1, key.shape[2])
    scores_shape = (batch, heads, length, keys)
    _check_mask(mask, scores_shape)
    factor = 1 / math.sqrt(max(1, size)) if scale is None else scale

    grouped = (query.astype(work, copy=False) * work.type(factor)).reshape(
        batch, length, groups, heads // groups, size
    )
    rows = grouped.transpose(0, 2, 3, 1, 4)
    columns = key.astype(work, copy=False).transpose(0, 2, 3, 1)[:, :, None]
    with np.errstate(invalid="ignore", under="ignore", over="ignore"):
        scores = np.matmul(rows, columns).reshape(scores_shape)
        if additive is not None:
            scores += additive.astype(work, copy=False)
        seen = _visible(mask, mask is None if causal is None else causal, length, keys)
        if seen is not None:
            scores = np.where(seen, scores, work.type(-np.inf))
        weights = _weights(scores).reshape(batch, groups, heads // groups, length, keys)
        values = value.astype(work, copy=False).transpose(0, 2, 1, 3)[:, :, None]
        mixed = np.matmul(weights, values)
    found: Array = mixed.transpose(0, 3, 1, 2, 4).reshape(shape).astype(result, copy=False)
    return found


def _check_mask(mask: Array | None, scores: tuple[int, ...]) -> None:
    if mask is None:
        return
    try:
        fits = np.broadcast_shapes(mask.shape, scores) == scores
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"attention: mask {mask.shape} does not broadcast to {scores}, "
            "(batch, heads, length, key length). Insert an axis of length 1 for the heads."
        )


def rope_tables(
    positions: Array, size: int, *, base: float = 10000.0, dtype: DType | None = None
) -> tuple[Array, Array]:
    """Return (cosines, sines) of `positions` times the `size / 2` rotary frequencies.

    Frequency i is base^(-2 i / size); both have shape (*positions.shape, size / 2).

    Raises:
        ShapeError: `size` is odd.
    """
    if size % 2:
        raise ShapeError(f"rope_tables: size is {size}, expected an even number of components.")
    frequencies = float(base) ** (-np.arange(0, size, 2, dtype=np.float64) / max(1, size))
    angles = positions.astype(np.float64)[..., None] * frequencies
    kind = np.dtype(np.float32) if dtype is None else dtype
    return np.cos(angles).astype(kind), np.sin(angles).astype(kind)


def rope(x: Array, cosines: Array, sines: Array, *, interleaved: bool = False) -> Array:
    """Return `x` with pairs of components rotated by the angle of their position.

    Args:
        x: (..., length, heads, size).
        cosines, sines: (..., length, pairs), of `rope_tables`; leading axes broadcast. The first
            2 * pairs components rotate, the others pass.
        interleaved: pairs are (0, 1), (2, 3), ... instead of (i, i + pairs).

    Raises:
        ShapeError: more pairs than components, or lengths differ.
    """
    result, work = float_types("rope", x, cosines, sines)
    pairs = cosines.shape[-1]
    fits = x.ndim >= 3 and cosines.shape == sines.shape and 2 * pairs <= x.shape[-1]
    if not fits or cosines.ndim < 2 or cosines.shape[-2] not in (1, x.shape[-3]):
        raise ShapeError(
            f"rope: x {x.shape}, cosines {cosines.shape} and sines {sines.shape} do not fit. "
            "Expected (..., length, heads, size) and twice (..., length, up to size / 2)."
        )
    y = x.astype(work)
    cos, sin = cosines[..., None, :].astype(work), sines[..., None, :].astype(work)
    if interleaved:
        left, right = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
    else:
        left, right = slice(0, pairs), slice(pairs, 2 * pairs)
    first, second = y[..., left].copy(), y[..., right].copy()
    y[..., left] = first * cos - second * sin
    y[..., right] = second * cos + first * sin
    return y.astype(result, copy=False)
