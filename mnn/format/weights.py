"""Decoding of weights: plain, half, sparse, and quantised to 2 to 8 bits with scales.

Quantised codes become floats by `(code - lowest) * scale + minimum` (asymmetric) or `code * scale`
(symmetric), one scale per row of consecutive elements.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mnn.errors import FormatError
from mnn.format.external import ExternalFile
from mnn.format.limits import LIMITS
from mnn.format.reader import Table
from mnn.format.schema import schema
from mnn.records import dataclass

__all__ = ["Quantised", "decode_bias", "decode_blob", "decode_weight", "quantised_weight"]

Array = np.ndarray[Any, Any]

_DENSE, _SPARSE, _HALF, _INT8 = 1, 2, 3, 4
_EMPTY: Array = np.zeros(0, np.float32)


@dataclass(frozen=True)
class Quantised:
    """Weights as codes.

    Attributes:
        codes: int8, flat.    scales: float32, one per row.
        minimums: float32, one per row, for asymmetric codes; else None.
        lowest: code that stands for the minimum.
    """

    codes: Array
    scales: Array
    minimums: Array | None
    lowest: int

    def decode(self) -> Array:
        """Return the weights as flat float32."""
        if not self.codes.size:
            return _EMPTY
        rows = self.codes.reshape(self.scales.size, -1).astype(np.float32)
        if self.minimums is None:
            rows *= self.scales[:, None]
        else:
            rows -= np.float32(self.lowest)
            rows *= self.scales[:, None]
            rows += self.minimums[:, None]
        return rows.reshape(-1)


def _bounded(count: int, source_bytes: int, what: str) -> int:
    """Return `count` elements of float32 if the file may expand to that many."""
    allowed = max(LIMITS.expansion_bytes, LIMITS.expansion * source_bytes)
    if count < 0 or 4 * count > allowed:
        raise FormatError(
            f"{what}: {source_bytes} bytes claim to hold {count} numbers. The file is damaged."
        )
    return count


def _bits(data: Array, count: int, width: int, what: str) -> Array:
    """Return `count` unsigned numbers of `width` bits each, packed with the first bit on top."""
    needed = (count * width + 7) // 8
    if width < 1 or width > 32 or data.size < needed:
        raise FormatError(
            f"{what}: {data.size} bytes cannot hold {count} numbers of {width} bits. "
            "The file is damaged."
        )
    if width == 8:
        return data[:count].astype(np.int64)
    flags = np.unpackbits(data[:needed])[: count * width].reshape(count, width)
    weights = np.left_shift(1, np.arange(width - 1, -1, -1, dtype=np.int64))
    result: Array = flags @ weights
    return result


class _Cursor:
    """A reader of a little-endian blob."""

    def __init__(self, data: Array, what: str) -> None:
        self.data = data
        self.place = 0
        self.what = what

    def take(self, dtype: str, count: int = 1) -> Array:
        size = np.dtype(dtype).itemsize * count
        if self.place + size > self.data.size:
            raise FormatError(f"{self.what}: the quantised data ends early. The file is damaged.")
        found = self.data[self.place : self.place + size].view(dtype)
        self.place += size
        return found

    def number(self, dtype: str) -> int:
        return int(self.take(dtype)[0])

    def rest(self) -> Array:
        return self.data[self.place :]


def _header(cursor: _Cursor, wide: bool) -> tuple[int, int]:
    """Return (rows, columns) of a blob."""
    rank = cursor.number("u1")
    if not 1 <= rank <= 8:
        raise FormatError(f"{cursor.what}: found {rank} dimensions in the quantised data.")
    sizes = [int(each) for each in cursor.take("<u4" if wide else "<u2", rank)]
    return sizes[0], math.prod(sizes[1:])


def _table(cursor: _Cursor) -> tuple[Array, int]:
    """Return the sorted codes a blob uses and the bits of one index into them."""
    count = cursor.number("u1") or 256
    table = np.sort(cursor.take("i1", count))
    return table, max(1, math.ceil(math.log2(count)))


def _look_up(table: Array, indices: Array, what: str) -> Array:
    if indices.size and int(indices.max()) >= table.size:
        raise FormatError(f"{what}: a code index is outside its table. The file is damaged.")
    result: Array = table[indices]
    return result


def _dense_codes(data: Array, wide: bool, what: str) -> Array:
    cursor = _Cursor(data, what)
    rows, columns = _header(cursor, wide)
    count = _bounded(rows * columns, data.size, what)
    table, width = _table(cursor)
    return _look_up(table, _bits(cursor.rest(), count, width, what), what)


def _sparse_codes(
    data: Array, wide: bool, scales: Array, minimums: Array | None, what: str
) -> Array:
    cursor = _Cursor(data, what)
    rows, columns = _header(cursor, wide)
    count = _bounded(rows * columns, data.size, what)
    filled = cursor.number("<u4")
    step_bits = cursor.number("u1")
    if filled > 8 * data.size:
        raise FormatError(f"{what}: {filled} entries in {data.size} bytes. The file is damaged.")
    steps = _bits(cursor.rest(), filled, step_bits, what) if filled else np.zeros(0, np.int64)
    cursor.place += (filled * step_bits + 7) // 8
    table, width = _table(cursor)
    values = _look_up(table, _bits(cursor.rest(), filled, width, what), what)
    places = np.cumsum(steps)
    if filled and (int(places.min()) < 0 or int(places.max()) >= count):
        raise FormatError(f"{what}: a sparse position is outside the weights.")
    codes = _zero_codes(count, width, scales, minimums, what)
    codes[places] = values
    return codes


def _zero_codes(count: int, width: int, scales: Array, minimums: Array | None, what: str) -> Array:
    """Return the codes that stand for 0 in each row."""
    if minimums is None:
        return np.zeros(count, np.int8)
    if not scales.size or count % scales.size:
        raise FormatError(f"{what}: {count} weights do not divide into {scales.size} rows.")
    lowest = -(1 << (width - 1))
    with np.errstate(all="ignore"):
        codes = np.round(-minimums / scales) + lowest
    codes = np.where(scales <= 1e-6, lowest, np.nan_to_num(codes))
    return np.repeat(np.clip(codes, -128, 127).astype(np.int8), count // scales.size)


def _alpha(quant: Table, chunk: Array | None, what: str) -> Array:
    """Return the scales as stored, float32."""
    half = schema().enums["ScaleStorageType"].by_value.get(quant.scaleStorage) == "FP16"
    if chunk is not None:
        found = chunk.view("<f2" if half else "<f4")
    elif half and quant.alphaFp16 is not None:
        found = quant.alphaFp16.view("<f2")
    else:
        found = _EMPTY if quant.alpha is None else quant.alpha
    return found.astype(np.float32)


def quantised_weight(quant: Table, buffer: Array, alpha: Array, what: str) -> Quantised:
    """Return the codes and scales of a dense, sparse or int8 `IDSTQuan`.

    Raises:
        FormatError: sizes contradict each other.
    """
    asymmetric = quant.readType != 0
    factor = float(quant.quantScale)
    if quant.type == _INT8 and quant.aMin == 0 and abs(factor) < 1e-6:
        asymmetric, factor = True, 1.0
    if asymmetric and alpha.size % 2:
        raise FormatError(f"{what}: {alpha.size} scales are no (minimum, scale) pairs.")
    minimums = alpha[0::2].copy() if asymmetric else None
    scales = alpha[1::2].copy() if asymmetric else alpha
    lowest = int(quant.aMin) if quant.aMin < 0 else -128
    if quant.type == _INT8:
        codes = buffer.view(np.int8)
    elif quant.type == _DENSE:
        codes = _dense_codes(buffer, bool(quant.shapeInt32), what)
    else:
        codes = _sparse_codes(buffer, bool(quant.shapeInt32), scales, minimums, what)
    if not scales.size or codes.size % scales.size:
        raise FormatError(
            f"{what}: {codes.size} weights do not divide into {scales.size} rows of one scale."
        )
    # Files of the quantiser hold 1.0; int8 models keep their codes and hold no factor.
    if factor != 1.0 and not quant.has_scaleInt:
        scales = scales * np.float32(factor)
        minimums = None if minimums is None else minimums * np.float32(factor)
    return Quantised(codes, scales, minimums, lowest)


def _bytes(vector: Any) -> Array:
    return np.zeros(0, np.uint8) if vector is None else vector.view(np.uint8)


def _float_sparse(quant: Table, index: Array, values: Array, what: str) -> Array:
    count = _bounded(int(quant.weightSize), index.nbytes + values.nbytes, what)
    if index.size != values.size:
        raise FormatError(f"{what}: {index.size} positions for {values.size} values.")
    result = np.zeros(count, np.float32)
    if index.size and int(index.max()) >= count:
        raise FormatError(f"{what}: a sparse position is outside the weights.")
    result[index] = values
    return result


@dataclass(frozen=True)
class _Parts:
    """The stored pieces of a convolution, wherever they are."""

    weight: Array
    bias: Array | None
    alpha: Array | None
    index: Array | None


def _parts(conv: Table, external: ExternalFile | None, what: str) -> _Parts | None:
    numbers = conv.external
    if numbers is None or not len(numbers):
        return None
    if external is None:
        raise FormatError(
            f"{what}: the weights are in a separate file, and none is known for a model read from "
            "memory. Load it by path, or name the file with set_external()."
        )
    quant = conv.quanParameter
    chunks = external.chunks(numbers, 2 if quant is None else 3)
    arrays = [np.frombuffer(each, np.uint8) for each in chunks]
    if quant is None:
        return _Parts(arrays[0], arrays[1].view("<f4"), None, None)
    return _Parts(
        arrays[0],
        arrays[2].view("<f4") if arrays[2].size else None,
        arrays[1],
        arrays[3] if len(arrays) > 3 and arrays[3].size else None,
    )


def decode_weight(conv: Table, external: ExternalFile | None, what: str) -> Array | None:
    """Return a convolution's weights as flat float32, None when they are an operand.

    Plain weights are a view of the file.

    Raises:
        FormatError: the stored pieces contradict each other or leave their file.
    """
    parts = _guarded(lambda: _parts(conv, external, what), what)
    quant = conv.quanParameter
    if quant is None:
        if parts is not None:
            found: Array = _guarded(lambda: parts.weight.view("<f4"), what)
            return found
        weight: Array | None = conv.weight
        return weight if weight is not None and weight.size else None
    buffer = _bytes(quant.buffer) if parts is None else parts.weight
    if quant.type == _HALF:
        return np.asarray(_guarded(lambda: buffer.view("<f2"), what)).astype(np.float32)
    alpha = _guarded(lambda: _alpha(quant, None if parts is None else parts.alpha, what), what)
    if quant.type == 0:
        stored = quant.index if parts is None or parts.index is None else parts.index.view("<u4")
        if stored is None:
            return None
        return _float_sparse(quant, stored, alpha, what)
    if quant.type not in (_DENSE, _SPARSE, _INT8):
        raise FormatError(f"{what}: weights of unknown kind {quant.type}.")
    return quantised_weight(quant, buffer, alpha, what).decode()


def _guarded(function: Any, what: str) -> Any:
    try:
        return function()
    except ValueError as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"{what}: stored sizes do not fit: {error}. The file is damaged."
        ) from error


def decode_bias(conv: Table, external: ExternalFile | None, what: str) -> Array | None:
    """Return a convolution's bias, float32, None when there is none."""
    parts = _guarded(lambda: _parts(conv, external, what), what)
    bias = conv.bias if parts is None or parts.bias is None else parts.bias
    return bias if bias is not None and bias.size else None


_VECTORS = {
    "DT_FLOAT": ("float32s", None),
    "DT_DOUBLE": ("float32s", None),
    "DT_INT32": ("int32s", None),
    "DT_BOOL": ("int32s", None),
    "DT_QINT32": ("int32s", None),
    "DT_UINT8": ("uint8s", None),
    "DT_QUINT8": ("uint8s", None),
    "DT_INT8": ("int8s", None),
    "DT_QINT8": ("int8s", None),
    "DT_HALF": ("uint8s", "<f2"),
    "DT_BFLOAT16": ("uint8s", "<u2"),
}
_EXTERNAL_DTYPES = {
    "float32s": "<f4",
    "int32s": "<i4",
    "uint8s": "u1",
    "int8s": "i1",
}


def decode_blob(blob: Table, external: ExternalFile | None, what: str) -> Array:
    """Return a constant in its logical shape; half and bfloat16 data become float32.

    Raises:
        FormatError: an unknown type, or data that does not fill the shape.
    """
    kind = schema().enums["DataType"].by_value.get(blob.dataType, "")
    if kind == "DT_INT64":
        return _wide_integers(blob, what)
    if kind not in _VECTORS:
        raise FormatError(f"{what}: constants of type {kind or blob.dataType} are not supported.")
    shape = () if blob.dims is None else tuple(int(size) for size in blob.dims)
    if len(shape) > LIMITS.rank or any(size < 0 for size in shape):
        raise FormatError(f"{what}: shape {list(shape)[:8]} is no constant's shape.")
    count = math.prod(shape)
    name, stored = _VECTORS[kind]
    if blob.external is not None and len(blob.external):
        if external is None:
            raise FormatError(f"{what}: the constant is in a separate file, and none is known.")
        chunk = external.chunks(blob.external, 1)[0]
        data = external.array(chunk, stored or _EXTERNAL_DTYPES[name])
    else:
        vector = getattr(blob, name)
        data = np.zeros(0, np.float32) if vector is None else vector
        if stored is not None:
            data = _guarded(lambda: _bytes(vector).view(stored), what)
    if kind == "DT_HALF":
        data = data.astype(np.float32)
    elif kind == "DT_BFLOAT16":
        data = (data.astype(np.uint32) << 16).view(np.float32)
    if count == 0:
        return np.zeros(shape, data.dtype if data.size else _element(name))
    if data.size != count:
        raise FormatError(
            f"{what}: {data.size} numbers are stored for shape {list(shape)}, expected {count}."
        )
    return data.reshape(shape)


def _element(name: str) -> Any:
    return np.dtype(_EXTERNAL_DTYPES[name])


def _wide_integers(blob: Table, what: str) -> Array:
    shape = () if blob.dims is None else tuple(int(size) for size in blob.dims)
    data = blob.int64s if blob.int64s is not None else blob.int32s
    if data is None or data.size != math.prod(shape) or any(size < 0 for size in shape):
        raise FormatError(f"{what}: the stored numbers do not fill shape {list(shape)[:8]}.")
    limits = np.iinfo(np.int32)
    result: Array = np.clip(data, limits.min, limits.max).astype(np.int32).reshape(shape)
    return result
