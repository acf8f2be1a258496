"""Arrays in files: NumPy's own formats and text. Nothing is ever pickled.

A file is written under another name first and renamed when it is complete. Files that are damaged
raise FormatError, a ValueError; files that cannot be opened, OSError.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, FormatError, ShapeError, UnsupportedError
from mnn.expr.dtypes import as_dtype, default_float, default_int, kind_of
from mnn.expr.var import Var
from mnn.numpy.conversion import text_numbers
from mnn.numpy.creation import _check_like, _dtype, _shape
from mnn.numpy.npy import damage_of, read_array, read_header
from mnn.ops.operands import array_of

__all__ = [
    "NpzFile",
    "fromfile",
    "genfromtxt",
    "load",
    "loadtxt",
    "memmap",
    "save",
    "savetxt",
    "savez",
    "savez_compressed",
    "tofile",
]


def _refuse_pickle(name: str, allow_pickle: Any) -> None:
    if allow_pickle:
        raise UnsupportedError(
            f"{name}: allow_pickle=True would run code from files. Numbers need no pickle."
        )


@contextlib.contextmanager
def _replacing(file: Any, suffix: str = "") -> Iterator[Any]:
    """Give a file to write: an open one as it is; a path through a temporary file beside it."""
    if not isinstance(file, (str, os.PathLike)):
        yield file
        return
    path = _target(file, suffix)
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:  # a device or a pipe
            yield stream
        return
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        _take_mode(name, path)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _target(file: Any, suffix: str = "") -> Path:
    """Return the path of the file to write, behind links."""
    path = Path(file)
    if suffix and not path.name.endswith(suffix):
        path = path.with_name(path.name + suffix)
    return Path(os.path.realpath(path))


def _take_mode(name: str, path: Path) -> None:
    """Give a new file the mode of the one that it replaces, or of any new file."""
    if path.exists():
        mode = path.stat().st_mode & 0o777
    else:
        mask = os.umask(0)
        os.umask(mask)
        mode = 0o666 & ~mask
    os.chmod(name, mode)


# --- NumPy's formats -----------------------------------------------------------------------------


def save(file: Any, arr: Any, allow_pickle: bool = False) -> None:
    """Write an array to a `.npy` file.

    Args:
        file: path, to which `.npy` is added if missing, or an open binary file.
        arr: array.    allow_pickle: only False.
    """
    _refuse_pickle("save", allow_pickle)
    array = array_of(arr, "save")
    with _replacing(file, ".npy") as stream:
        _np.lib.format.write_array(stream, array, allow_pickle=False)


def savez(file: Any, *args: Any, allow_pickle: bool = False, **kwds: Any) -> None:
    """Write several arrays to an `.npz` file, not compressed.

    Args:
        file: path, to which `.npz` is added if missing, or an open binary file.
        args: arrays, named arr_0, arr_1, ...    kwds: arrays by name.
        allow_pickle: only False.
    """
    _save_several(_np.savez, "savez", file, args, kwds, allow_pickle)


def savez_compressed(file: Any, *args: Any, allow_pickle: bool = False, **kwds: Any) -> None:
    """Write several arrays to a compressed `.npz` file; arguments are those of `savez`."""
    _save_several(_np.savez_compressed, "savez_compressed", file, args, kwds, allow_pickle)


def _save_several(
    function: Callable[..., Any],
    name: str,
    file: Any,
    args: tuple[Any, ...],
    kwds: dict[str, Any],
    allow_pickle: bool,
) -> None:
    _refuse_pickle(name, allow_pickle)
    given = [array_of(each, name) for each in args]
    named = {key: array_of(each, name) for key, each in kwds.items()}
    with _replacing(file, ".npz") as stream:
        function(stream, *given, **named)


class NpzFile(Mapping[str, Var]):
    """The arrays of an `.npz` file by name, each read when it is asked for.

    Attributes:
        files: the names.
    """

    def __init__(self, source: zipfile.ZipFile, name: str, max_header_size: int = 10000) -> None:
        self._source = source
        self._name = name
        self._limit = max_header_size
        self._members = {each.removesuffix(".npy"): each for each in source.namelist()}
        self.files = list(self._members)

    def __getitem__(self, key: str) -> Var:
        member = self._members.get(key.removesuffix(".npy"))
        if member is None:
            raise KeyError(f"{key!r} is not in {self._name}, which has {self.files}.")
        with damage_of(self._name):
            size = self._source.getinfo(member).file_size
            with self._source.open(member) as stream:
                return Var(read_array(stream, size, self._limit))

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"NpzFile {self._name!r} with keys: {', '.join(self.files)}"

    def __enter__(self) -> NpzFile:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _rest(stream: Any) -> int:
    """Return the bytes from here to the end of a file."""
    here: int = stream.tell()
    end: int = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    return end - here


def load(
    file: Any,
    mmap_mode: str | None = None,
    allow_pickle: bool = False,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    *,
    max_header_size: int = 10000,
) -> Any:
    """Return the array of a `.npy` file, or an NpzFile with those of an `.npz` file.

    Args:
        file: path or open binary file.
        mmap_mode: "r", "r+", "w+" or "c": leave a `.npy` file on the disk, and map it.
        allow_pickle: only False.
        fix_imports, encoding: accepted for compatibility; they are about pickles.
        max_header_size: greatest size of a header, in bytes.

    Raises:
        FormatError: the file is damaged, or of another format.    OSError: it cannot be read.
    """
    _refuse_pickle("load", allow_pickle)
    if mmap_mode not in (None, "r", "r+", "w+", "c"):
        raise ShapeError(f"load: mmap_mode is {mmap_mode!r}, expected 'r', 'r+', 'w+' or 'c'.")
    is_path = isinstance(file, (str, os.PathLike))
    name = os.fspath(file) if is_path else repr(file)
    stream = open(file, "rb") if is_path else file  # noqa: SIM115 - closed below
    try:
        with damage_of(name):
            start = stream.read(4)
            stream.seek(-len(start), os.SEEK_CUR)
            if start[:2] == b"PK":
                archive = zipfile.ZipFile(file if is_path else stream)
                return NpzFile(archive, name, max_header_size)
            if mmap_mode is None:
                return Var(read_array(stream, _rest(stream), max_header_size))
            if not is_path:
                raise FormatError("only the file of a path can be mapped")
            shape, fortran, dtype = read_header(stream, _rest(stream), max_header_size)
            order = "F" if fortran else "C"
            return memmap(file, dtype, mmap_mode, stream.tell(), shape, order)
    finally:
        if is_path:
            stream.close()


def memmap(
    filename: Any,
    dtype: Any = _np.uint8,
    mode: str = "r+",
    offset: int = 0,
    shape: Any = None,
    order: str = "C",
) -> Var:
    """Return an array whose memory is a file.

    Args:
        filename: path or open binary file.    dtype: element type.
        mode: "r": read; "r+": read and write; "w+": make the file; "c": writes stay in memory.
        offset: where the array starts, in bytes.
        shape: None: all of the file, as one dimension.
        order: "C" or "F".

    Raises:
        ValueError: the file is too short, or an unknown mode.    OSError: it cannot be opened.
    """
    sizes = None if shape is None else _shape("memmap", shape)
    make: Any = _np.memmap
    return Var(make(filename, as_dtype(dtype), mode, offset, sizes, order).view(_np.ndarray))


# --- bytes ---------------------------------------------------------------------------------------


def fromfile(
    file: Any,
    dtype: Any = None,
    count: int = -1,
    sep: str = "",
    offset: int = 0,
    *,
    like: Any = None,
) -> Var:
    """Return the numbers in a file without a header; float32 unless told otherwise.

    Args:
        file: path or open file.    dtype: element type.
        count: how many numbers, -1 for all.
        sep: separator of numbers in a text file; "": the file holds the bytes of the elements.
        offset: in bytes from the place of an open file, or the start; not for text.
        like: accepted for compatibility.

    Raises:
        ValueError: text that is no number.    OSError: the file cannot be read.
    """
    _check_like("fromfile", like)
    wanted = _dtype(dtype)
    if not sep:
        read: Any = _np.fromfile
        return Var(read(file, wanted, count, "", offset))
    if offset:
        raise DTypeError("fromfile: offset is for files of bytes, without sep.")
    if isinstance(file, (str, os.PathLike)):
        text = Path(file).read_text()
    else:
        content = file.read()
        text = content if isinstance(content, str) else content.decode()
    return Var(text_numbers(text, wanted, count, sep))


def tofile(a: Any, fid: Any, sep: str = "", format: str = "%s") -> None:
    """Write the elements of an array to a file without a header.

    Args:
        a: array.    fid: path or open file.
        sep: separator, for text; "": the bytes of the elements.
        format: how to write an element, for text.
    """
    array = array_of(a, "tofile")
    with _replacing(fid) as stream:
        array.tofile(stream, sep, format)


# --- text ----------------------------------------------------------------------------------------


def savetxt(
    fname: Any,
    X: Any,
    fmt: Any = "%.18e",
    delimiter: str = " ",
    newline: str = "\n",
    header: str = "",
    footer: str = "",
    comments: str = "# ",
    encoding: str | None = None,
) -> None:
    """Write a vector or matrix as text, one line for each row.

    Args:
        fname: path, with `.gz` for a compressed file, or an open file.
        X: array of one or two dimensions.
        fmt: how to write numbers; one text, or one for each column.
        delimiter: between numbers.    newline: after rows.
        header, footer: lines before and after, marked with `comments`.
        encoding: of the text.

    Raises:
        ValueError: other dimensions.    AttributeError: not one format for each column.
    """
    array = array_of(X, "savetxt")
    options = (fmt, delimiter, newline, header, footer, comments, encoding)
    path = _target(fname) if isinstance(fname, (str, os.PathLike)) else None
    if path is None or (path.exists() and not path.is_file()):
        _np.savetxt(fname, array, *options)
        return
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        # NumPy goes by the end of the name.
        written = Path(folder, path.name)
        _np.savetxt(written, array, *options)
        _take_mode(str(written), path)
        os.replace(written, path)


def _refuse_address(name: str, fname: Any) -> None:
    """Refuse what NumPy would fetch from the network."""
    if isinstance(fname, str) and re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/]", fname):
        raise UnsupportedError(f"{name}: {fname!r} is no file. Fetch it first; nothing here does.")


def _by_default(values: Any, dtype: Any) -> Var:
    """Return numbers from text in our default types, where no type was asked for."""
    if kind_of(values.dtype) not in "biufc":
        raise DTypeError(
            f"the text gives elements of type {values.dtype}, expected numbers. "
            "Choose columns with usecols=."
        )
    if dtype is None and values.dtype == _np.int64:
        limits = _np.iinfo(default_int)
        fits = not values.size or (limits.min <= values.min() and values.max() <= limits.max)
        return Var(values.astype(default_int) if fits else values)
    if dtype is None and values.dtype == _np.float64:
        return Var(values.astype(default_float))
    return Var(values)


def loadtxt(
    fname: Any,
    dtype: Any = float,
    comments: Any = "#",
    delimiter: str | None = None,
    converters: Any = None,
    skiprows: int = 0,
    usecols: Any = None,
    unpack: bool = False,
    ndmin: int = 0,
    encoding: str | None = None,
    max_rows: int | None = None,
    *,
    quotechar: str | None = None,
    like: Any = None,
) -> Any:
    """Return the numbers of a text file with as many in every row; float32 by default.

    Args:
        fname: path, open file, or lines.    dtype: element type.
        comments: what starts a comment.    delimiter: between numbers; None: any space.
        converters: functions from text to numbers, one or by column.
        skiprows: lines to leave out.    usecols: columns to read.
        unpack: return the columns, one array for each.
        ndmin: least number of dimensions.    encoding: of the text.
        max_rows: how many rows to read.    quotechar: around quoted items.
        like: accepted for compatibility.

    Raises:
        ValueError: something is no number, or rows of different lengths.
    """
    _check_like("loadtxt", like)
    _refuse_address("loadtxt", fname)
    read: Any = _np.loadtxt
    found = read(
        fname,
        as_dtype(dtype),
        comments,
        delimiter,
        converters,
        skiprows,
        usecols,
        False,
        ndmin,
        encoding,
        max_rows,
        quotechar=quotechar,
    )
    return _columns(Var(found), unpack)


def _columns(found: Var, unpack: bool) -> Any:
    return Var(found._array().T) if unpack and found.ndim > 1 else found


def genfromtxt(
    fname: Any,
    dtype: Any = float,
    comments: Any = "#",
    delimiter: Any = None,
    skip_header: int = 0,
    skip_footer: int = 0,
    converters: Any = None,
    missing_values: Any = None,
    filling_values: Any = None,
    usecols: Any = None,
    names: Any = None,
    excludelist: Any = None,
    deletechars: str = " !#$%&'()*+,-./:;<=>?@[\\]^{|}~",
    replace_space: str = "_",
    autostrip: bool = False,
    case_sensitive: Any = True,
    defaultfmt: str = "f%i",
    unpack: bool | None = None,
    usemask: bool = False,
    loose: bool = True,
    invalid_raise: bool = True,
    max_rows: int | None = None,
    encoding: str | None = None,
    *,
    ndmin: int = 0,
    like: Any = None,
) -> Any:
    """Return the numbers of a text file in which some are missing; NaN in their place.

    Args:
        fname: path, open file, or lines.
        dtype: element type, float32 by default; None: what the text looks like.
        comments: what starts a comment.    delimiter: text, or widths of columns.
        skip_header, skip_footer: lines to leave out.
        converters: functions from text to numbers by column.
        missing_values, filling_values: what stands for a missing number, and what replaces it.
        usecols: columns to read.
        autostrip, loose, invalid_raise, max_rows, encoding, ndmin, unpack: see NumPy.
        names, usemask: refused, since arrays have neither fields nor masks.
        excludelist, deletechars, replace_space, case_sensitive, defaultfmt: about names.
        like: accepted for compatibility.

    Raises:
        UnsupportedError: names or masks are asked for.    DTypeError: the text is no numbers.
        ValueError: rows of different lengths.
    """
    _check_like("genfromtxt", like)
    _refuse_address("genfromtxt", fname)
    if names or usemask:
        raise UnsupportedError("genfromtxt: arrays have neither fields with names nor masks.")
    read: Any = _np.genfromtxt
    found = read(
        fname,
        None if dtype is None else as_dtype(dtype),
        comments,
        delimiter,
        skip_header,
        skip_footer,
        converters,
        missing_values,
        filling_values,
        usecols,
        autostrip=autostrip,
        loose=loose,
        invalid_raise=invalid_raise,
        max_rows=max_rows,
        encoding=encoding,
        ndmin=ndmin,
    )
    return _columns(_by_default(found, dtype), bool(unpack))
