"""Names of NumPy that this package does not have, and why."""

from __future__ import annotations

__all__ = ["ABSENT", "EXTENDED", "reason"]

_DATES = "dates and times are not element types here; keep them in NumPy arrays"
_TEXT = "arrays hold numbers and bools, no text; keep strings in NumPy arrays or lists"
_RECORDS = "arrays hold numbers and bools, no records; use one array for each field"
_OBJECTS = "arrays hold numbers and bools, no Python objects; use a list"
_NATIVE = "it serves compiled extensions of NumPy, and this package has none"
_INSIDE = "it belongs to the inside of NumPy's own arrays"
_BUFFERS = "ufuncs of this package have no buffers to set; chains are fused instead"

ABSENT: dict[str, str] = {
    "bytes_": _TEXT,
    "char": _TEXT,
    "character": _TEXT,
    "chararray": _TEXT,
    "flexible": _TEXT,
    "str_": _TEXT,
    "strings": _TEXT,
    "busday_count": _DATES,
    "busday_offset": _DATES,
    "busdaycalendar": _DATES,
    "datetime64": _DATES,
    "datetime_as_string": _DATES,
    "datetime_data": _DATES,
    "is_busday": _DATES,
    "isnat": _DATES,
    "timedelta64": _DATES,
    "rec": _RECORDS,
    "recarray": _RECORDS,
    "record": _RECORDS,
    "void": _RECORDS,
    "object_": _OBJECTS,
    "fromregex": _RECORDS,
    "ctypeslib": _NATIVE,
    "f2py": _NATIVE,
    "get_include": _NATIVE,
    "core": _INSIDE,
    "distutils": _INSIDE,
    "emath": "functions give NaN outside of their domain; convert to a complex type first",
    "exceptions": "errors are those of mnn.errors and NumPy's own, in numpy.exceptions",
    "get_array_wrap": _INSIDE,
    "getbufsize": _BUFFERS,
    "setbufsize": _BUFFERS,
    "lib": _INSIDE,
    "ma": "masked arrays are not a type here; use where= arguments, or NaN and the nan functions",
    "sctypeDict": _INSIDE,
    "ufunc": "universal functions have the methods of numpy.ufunc, but are plain functions",
    "test": "it runs NumPy's own tests",
    "typing": "annotate with mnn.numpy.ndarray",
    "version": "the version is mnn.__version__",
}
"""From each name to the reason for its absence."""

EXTENDED = frozenset(("float96", "float128", "complex192", "complex256"))
"""Names of NumPy's widest floats, of which each machine has others."""


def reason(name: str) -> str | None:
    """Return why a name of NumPy is not here, or None for a name that NumPy has not either."""
    why = ABSENT.get(name)
    return None if why is None else f"mnn.numpy.{name}: {why}."
