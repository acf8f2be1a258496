"""Arrays in the sibling `.weight` file of a model."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import FormatError

__all__ = ["ExternalFile", "path_of_weights"]

Array = np.ndarray[Any, Any]


def path_of_weights(model_path: str | os.PathLike[str]) -> str:
    """Return the path of a model's weight file."""
    return os.fspath(model_path) + ".weight"


class ExternalFile:
    """A weight file, opened when the first array is asked for, and memory-mapped.

    Args:
        path: of the file.
        mapped: its content, when it is mapped already.

    Attributes:
        mapped: its content, None as long as nobody has asked for an array.
    """

    def __init__(self, path: str | os.PathLike[str], mapped: memoryview | None = None) -> None:
        self.path = os.fspath(path)
        self.mapped = mapped

    def _open(self) -> memoryview:
        if self.mapped is None:
            try:
                with open(self.path, "rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    self.mapped = (
                        memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                        if size
                        else memoryview(b"")
                    )
            except FileNotFoundError as error:
                raise FormatError(
                    f"the model keeps its weights in {self.path}, which does not exist. "
                    "Put the file beside the model, or name it with set_external()."
                ) from error
        return self.mapped

    def chunks(self, external: Any, count: int) -> list[memoryview]:
        """Return the byte ranges of an `external` vector: an offset, then sizes of chunks.

        Raises:
            FormatError: a range leaves the file, or there are fewer than `count` sizes.
        """
        numbers = [int(each) for each in external]
        data = self._open()
        sizes: Sequence[int] = numbers[1:]
        if len(sizes) < count:
            raise FormatError(f"{self.path}: {len(sizes)} chunks are described, expected {count}.")
        offset = numbers[0]
        result = []
        for size in sizes:
            if offset < 0 or size < 0 or offset + size > len(data):
                raise FormatError(
                    f"{self.path}: bytes {offset} to {offset + size} are outside the file of "
                    f"{len(data)} bytes. The weight file does not belong to this model."
                )
            result.append(data[offset : offset + size])
            offset += size
        return result

    def array(self, chunk: memoryview, dtype: Any) -> Array:
        """Return a chunk as a 1-D array; FormatError when its size does not fit the type."""
        width = np.dtype(dtype).itemsize
        if len(chunk) % width:
            raise FormatError(f"{self.path}: a chunk of {len(chunk)} bytes is no {dtype} array.")
        return np.frombuffer(chunk, dtype)
