"""What the Python array API standard asks of a namespace besides its functions.

See docs/array_api.md for what differs from the standard, and why.
"""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import ShapeError
from mnn.expr.dtypes import default_float, default_int
from mnn.ops.attach import attach_method

__all__ = ["namespace_of", "read_version"]

__array_api_version__ = "2025.12"

_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", __array_api_version__)
_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8", "uint16", "uint32", "uint64"),
    "real floating": ("float32", "float64"),
    "complex floating": ("complex64", "complex128"),
}
_KINDS["integral"] = (*_KINDS["signed integer"], *_KINDS["unsigned integer"])
_KINDS["numeric"] = (*_KINDS["integral"], *_KINDS["real floating"], *_KINDS["complex floating"])
_ALL = (*_KINDS["bool"], *_KINDS["numeric"])


def read_version(api_version: Any) -> None:
    """Check that a version of the standard is one that this namespace follows.

    Raises:
        ShapeError: it is not.
    """
    if api_version is not None and api_version not in _VERSIONS:
        raise ShapeError(
            f"__array_namespace__: version {api_version!r} is not known, expected one of "
            f"{', '.join(_VERSIONS)}, or None."
        )


def namespace_of(self: Any, *, api_version: str | None = None) -> Any:
    """Return `mnn.numpy`, which follows the array API standard.

    Raises:
        ShapeError: a version of the standard that it does not follow.
    """
    import mnn.numpy as namespace

    read_version(api_version)
    return namespace


def _check_device(device: Any) -> None:
    if device not in (None, "cpu"):
        raise ShapeError(f"__array_namespace_info__: device is {device!r}, expected 'cpu'.")


class __array_namespace_info__:  # noqa: N801 - the standard's name
    """Devices, element types and abilities, as the array API standard asks for them."""

    def capabilities(self) -> dict[str, Any]:
        """Return what is possible: masks as indices, and shapes that depend on values."""
        return {
            "boolean indexing": True,
            "data-dependent shapes": True,
            "max dimensions": 64,
        }

    def default_device(self) -> str:
        """Return "cpu"."""
        return "cpu"

    def devices(self) -> list[str]:
        """Return the names of all devices."""
        return ["cpu"]

    def default_dtypes(self, *, device: str | None = None) -> dict[str, _np.dtype[Any]]:
        """Return the types that Python's numbers become, and that of positions."""
        _check_device(device)
        return {
            "real floating": default_float,
            "complex floating": _np.dtype(_np.complex64),
            "integral": default_int,
            "indexing": default_int,
        }

    def dtypes(
        self, *, device: str | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, _np.dtype[Any]]:
        """Return the standard's element types by name.

        Args:
            device: "cpu" or None.
            kind: "bool", "signed integer", "unsigned integer", "integral", "real floating",
                "complex floating" or "numeric"; several in a tuple; None: all.

        Raises:
            ShapeError: an unknown kind or device.
        """
        _check_device(device)
        if kind is None:
            return {name: _np.dtype(name) for name in _ALL}
        found: dict[str, _np.dtype[Any]] = {}
        for each in kind if isinstance(kind, tuple) else (kind,):
            if each not in _KINDS:
                raise ShapeError(f"dtypes: kind is {each!r}, expected one of {list(_KINDS)}.")
            found.update((name, _np.dtype(name)) for name in _KINDS[each])
        return found


attach_method("__array_namespace__", namespace_of)
