"""What is known about a value before it is computed: shape, dtype, format, maybe the value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex, overload

import numpy as np

from mnn.expr.enums import data_format
from mnn.expr.symbols import Dim, Symbol, shape_numbers

__all__ = ["VALUE_LIMIT", "Shape", "TensorType"]

VALUE_LIMIT = 256
"""Most elements of an integer value that shape rules may look at (shapes, axes, paddings)."""


class Shape(tuple):  # type: ignore[type-arg]
    """Sizes of a Var: a tuple that prints as a list and equals lists of the same sizes, too."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(list(self))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (tuple, list)):
            return tuple.__eq__(self, tuple(other))
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        return tuple.__hash__(self)

    def __add__(self, other: Sequence[int]) -> Shape:  # type: ignore[override]
        return Shape((*self, *other))

    def __radd__(self, other: Sequence[int]) -> Shape:
        return Shape((*other, *self))

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Shape: ...
    def __getitem__(self, index: Any) -> Any:
        item = tuple.__getitem__(self, index)
        return Shape(item) if isinstance(index, slice) else item

    def copy(self) -> list[int]:
        """Return the sizes as a list."""
        return list(self)


class TensorType:
    """Shape, dtype and dimension format of one operator result; unchanging.

    Attributes:
        shape: sizes, each a number or a Symbol; None when not even the rank is known.
        dtype: element type.
        format: meaning of the dimensions.
        value: the value itself when it is a small integer or bool array known while the graph is
            built (a shape, axes, paddings); never more than VALUE_LIMIT elements; read-only.
    """

    # No data class: thousands are made while a graph is recorded.
    __slots__ = ("dtype", "format", "shape", "value")

    def __init__(
        self,
        shape: tuple[Dim, ...] | None,
        dtype: np.dtype[Any],
        format: data_format = data_format.NCHW,
        value: np.ndarray[Any, Any] | None = None,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.format = format
        self.value = value

    def __repr__(self) -> str:
        value = "" if self.value is None else f" = {self.value.tolist()}"
        return f"<{self.describe()} {self.format.name}{value}>"

    @property
    def rank(self) -> int | None:
        """Number of dimensions, None when unknown."""
        return None if self.shape is None else len(self.shape)

    @property
    def is_static(self) -> bool:
        """True when every size is a number."""
        return self.shape is not None and Symbol not in map(type, self.shape)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of a static type, as numbers."""
        return tuple(int(size) for size in self.shape or ())  # type: ignore[arg-type]

    @property
    def channel_axis(self) -> int:
        """Axis of the channels: the last one for NHWC, otherwise 1 (0 for a vector)."""
        rank = self.rank or 0
        if self.format is data_format.NHWC:
            return max(rank - 1, 0)
        return min(1, max(rank - 1, 0))

    def with_shape(self, shape: Iterable[Dim] | None) -> TensorType:
        """Return the same type with another shape and no known value."""
        return TensorType(None if shape is None else tuple(shape), self.dtype, self.format)

    def with_dtype(self, dtype: np.dtype[Any]) -> TensorType:
        """Return the same type with another dtype and no known value."""
        return TensorType(self.shape, dtype, self.format)

    def with_format(self, format: data_format) -> TensorType:
        """Return the same type with another dimension format."""
        return TensorType(self.shape, self.dtype, format, self.value)

    def describe(self) -> str:
        """Return text for messages, such as `float32 (1, 3, -1, -1)`."""
        shape = "(unknown rank)" if self.shape is None else str(shape_numbers(self.shape))
        return f"{self.dtype.name} {shape}"

    @staticmethod
    def of(array: np.ndarray[Any, Any], format: data_format = data_format.NCHW) -> TensorType:
        """Return the type of an array; small integer arrays are remembered as a known value."""
        value = None
        if array.dtype.kind in "iub" and array.size <= VALUE_LIMIT:
            value = array.copy()
            value.flags.writeable = False
        return TensorType(array.shape, array.dtype, format, value)
