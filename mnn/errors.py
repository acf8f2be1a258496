"""The exception family.

Every error of this package derives from `MnnError` and from the builtin a caller would guess, so
both `except MnnError` and `except ValueError` work. Messages say what was asked, what was found,
what was expected and what to try.
"""

from __future__ import annotations

__all__ = [
    "AxisError",
    "CodegenError",
    "DTypeError",
    "EvaluationError",
    "FormatError",
    "GradientError",
    "GraphError",
    "IndexRangeError",
    "MnnError",
    "ModelInputError",
    "NumberRangeError",
    "SettingError",
    "ShapeError",
    "UnsupportedError",
    "VerificationError",
]


class MnnError(Exception):
    """Base of every error raised on purpose by this package."""


class ShapeError(MnnError, ValueError):
    """Shapes, axes or element counts do not fit together."""


class AxisError(ShapeError, IndexError):
    """An axis is not one of the array's; as NumPy's, both a ValueError and an IndexError."""


class DTypeError(MnnError, TypeError):
    """An element type is not accepted by the operation."""


class NumberRangeError(DTypeError, OverflowError):
    """A number is too large or too small for the element type it must take."""


class IndexRangeError(MnnError, IndexError):
    """An index lies outside its axis."""


class GraphError(MnnError, RuntimeError):
    """The graph cannot be rewired or used in the way asked."""


class EvaluationError(MnnError, RuntimeError):
    """A value was read that does not exist yet, or computing it failed."""


class GradientError(MnnError, RuntimeError):
    """A gradient was asked for that does not exist."""


class UnsupportedError(MnnError, NotImplementedError):
    """The feature is documented as missing."""


class FormatError(MnnError, ValueError):
    """A file is damaged, truncated, too large, or not of the format it claims."""


class ModelInputError(MnnError, ValueError):
    """Inputs given to a module do not fit its declared inputs."""


class SettingError(MnnError, ValueError):
    """A setting has an unknown name, or a value out of its range."""


class CodegenError(MnnError, RuntimeError):
    """A kernel cannot be generated or compiled for this machine."""


class VerificationError(MnnError, AssertionError):
    """A stage of the compiler made something inconsistent: a mistake of this package."""
