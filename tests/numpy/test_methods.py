"""Methods and attributes of Var against those of `numpy.ndarray`."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn.config import config
from mnn.errors import DTypeError
from tests.numpy.differential import EVERY, arrays, matches, read, same, tried

# Why attributes of NumPy's arrays are not here.
ABSENT = {
    "__array_finalize__": "for subclasses written in C or Python; Var has none",
    "__array_wrap__": "for subclasses; results are Vars anyway",
    "__array_interface__": "NumPy would read it in preference to __array__, which knows graphs",
    "__array_struct__": "the same",
    "__setstate__": "pickles are made by __reduce__",
}
X = np.array([[3, 1, 2], [6, 5, 4]], np.int32)
F = np.array([[0.5, -1.5, 2.5], [4.0, -0.25, 8.0]], np.float32)
C = np.array([1 + 2j, 3 - 4j, -1j], np.complex64)


def test_every_attribute_is_here() -> None:
    missing = {name for name in dir(np.ndarray) if not hasattr(mnp.ndarray, name)}
    assert missing == set(ABSENT)


def _parameters(function: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())[1:]


@pytest.mark.parametrize(
    "name",
    [
        each
        for each in dir(np.ndarray)
        if not each.startswith("_") and callable(getattr(np.ndarray, each))
    ],
)
def test_parameters(name: str) -> None:
    """Every parameter of NumPy's method, in its place or by its name."""
    ours = _parameters(getattr(mnp.ndarray, name))
    names = [each.name for each in ours]
    anything = any(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in ours)
    for place, wanted in enumerate(_parameters(getattr(np.ndarray, name))):
        if wanted.kind in (wanted.VAR_POSITIONAL, wanted.VAR_KEYWORD):
            continue
        if wanted.kind is wanted.POSITIONAL_ONLY:
            assert len(ours) > place
        elif wanted.kind is wanted.KEYWORD_ONLY or anything:
            assert wanted.name in names
        elif name != "clip":  # NumPy's names of the bounds are keywords here, in the same places
            assert names[place] == wanted.name


CALLS: dict[str, tuple[np.ndarray[Any, Any], Any]] = {
    "astype": (F, lambda a: a.astype("f8", "F", "safe")),
    "astype refused": (F, lambda a: a.astype("i4", casting="safe")),
    "astype order": (F, lambda a: a.astype("f4", order="F").flags.f_contiguous),
    "astype same": (F, lambda a: a.astype("f4", copy=False) is a),
    "astype copy": (F, lambda a: a.astype("f4") is a),
    "view": (F, lambda a: a.view(np.int32)),
    "view smaller": (F, lambda a: a.view(np.int16)),
    "view refused": (F.T, lambda a: a.view(np.int16)),
    "byteswap": (X, lambda a: a.byteswap()),
    "byteswap inplace": (X, lambda a: (a.byteswap(True), a)[1]),
    "getfield": (X, lambda a: a.getfield("u2", 2)),
    "getfield refused": (X, lambda a: a.getfield("u2", 3)),
    "setfield": (X, lambda a: (a.setfield(7, "u2", 2), a)[1]),
    "partition": (np.array([4, 1, 3, 2]), lambda a: (a.partition(1), a[1])[1]),
    "partition refused": (X, lambda a: a.partition(7)),
    "argpartition": (np.array([4, 1, 3, 2]), lambda a: a.argpartition(1)[1]),
    "clip": (F, lambda a: a.clip(-1, 2)),
    "clip keywords": (F, lambda a: a.clip(min=0.0)),
    "clip as another type": (F, lambda a: a.clip(0, 3, dtype=np.float64)),
    "clip casting": (F, lambda a: a.clip(0, 3, dtype=np.int8)),
    "clip where": (F, lambda a: a.clip(0, 1, out=a.copy(), where=a > 1)),
    "round of an element": (F, lambda a: round(a[0, 1], 1)),
    "round to an int": (F, lambda a: np.array(round(a[1, 1]))),
    "round": (F, lambda a: a.round(1)),
    "choose": (np.array([0, 1, 1]), lambda a: a.choose([[1, 2, 3], [4, 5, 6]])),
    "compress": (X, lambda a: a.compress([False, True], axis=0)),
    "diagonal": (X, lambda a: a.diagonal(1)),
    "put": (X, lambda a: (a.put([0, -1], [8, 9]), a)[1]),
    "searchsorted": (np.array([1, 2, 4]), lambda a: a.searchsorted([2, 3], side="right")),
    "take": (X, lambda a: a.take([5, 7], mode="wrap")),
    "trace": (X, lambda a: a.trace(offset=1)),
    "resize": (X, lambda a: (a.copy(), a)[1].reshape(3, 2)),
    "reshape": (X, lambda a: a.reshape(3, 2, order="F", copy=True)),
    "reshape refused": (X.T, lambda a: a.reshape(-1, copy=False)),
    "tobytes": (X, lambda a: np.frombuffer(a.tobytes("F"), np.int32)),
    "tolist": (F, lambda a: np.array(a.tolist(), np.float32)),
    "item": (X, lambda a: a.item(1, 2)),
    "itemset by index": (X, lambda a: (a.fill(2), a)[1]),
    "real": (C, lambda a: a.real),
    "imag": (C, lambda a: a.imag),
    "imag of reals": (F, lambda a: a.imag),
    "conj": (C, lambda a: a.conj()),
    "flat": (X, lambda a: a.flat[1:4]),
    "matmul in place": (
        np.ones((2, 2), np.float32),
        lambda a: _matmul(a, 2 * np.ones((2, 2), "f")),
    ),
    "sum": (X, lambda a: a.sum(axis=1, keepdims=True, initial=5)),
    "mean where": (F, lambda a: a.mean(where=[True, False, True])),
    "std": (F, lambda a: a.std(0, ddof=1)),
    "repeat": (X, lambda a: a.repeat([1, 2], axis=0)),
    "dot": (F, lambda a: a.dot(a.T)),
    "swapaxes": (X, lambda a: a.swapaxes(0, 1)),
}


def _matmul(a: Any, b: Any) -> Any:
    a @= b if isinstance(a, np.ndarray) else mnp.array(b)
    return a


@pytest.mark.parametrize("name", CALLS)
def test_call(name: str) -> None:
    operand, call = CALLS[name]
    memory = name.startswith(("astype ", "view refused", "reshape refused"))
    want = _outcome(call, operand.copy("K"))
    for lazy in (False,) if memory else (False, True):
        with config.using(lazy=lazy):
            same(want, _outcome(call, mnp.array(operand.copy("K"), copy=None)))


def _outcome(call: Any, operand: Any) -> Any:
    try:
        return read(call(operand))
    except (TypeError, ValueError) as error:
        return error


@pytest.mark.parametrize(
    "name", ["itemsize", "nbytes", "size", "ndim", "shape", "strides", "device"]
)
@tried
@given(array=arrays(EVERY))
def test_numbers(name: str, array: np.ndarray[Any, Any]) -> None:
    assert getattr(mnp.asarray(array), name) == getattr(array, name)


@tried
@given(array=arrays(EVERY, ranks=(1, 3)), data=st.data())
def test_flat(array: np.ndarray[Any, Any], data: st.DataObject) -> None:
    ours = mnp.array(array)
    wanted = array.copy()
    assert [each.item() for each in ours.flat].__repr__() == [
        e.item() for e in array.flat
    ].__repr__()
    if array.size:
        place = data.draw(st.integers(-array.size, array.size - 1))
        wanted.flat[place] = ours.flat[place] = 1
        wanted.flat[::2] = ours.flat[::2] = 0
        np.testing.assert_array_equal(np.asarray(ours), wanted)


def test_flags_say_how_memory_lies() -> None:
    ours, numpys = mnp.asarray(X.T), X.T
    for name in ("c_contiguous", "f_contiguous", "writeable", "aligned", "behaved", "farray"):
        assert getattr(ours.flags, name) == getattr(numpys.flags, name)
    assert ours.flags["F"]
    assert not ours.flags["C_CONTIGUOUS"]
    assert repr(mnp.array(X).flags) == repr(X.copy().flags)
    with pytest.raises(KeyError):
        ours.flags["NONE"]
    with pytest.raises(AttributeError):
        ours.flags.owndata = True


def test_locked_arrays_are_not_written() -> None:
    x = mnp.array(F)
    view = x[0]
    x.setflags(write=False)
    assert not x.flags.writeable
    assert view.flags.writeable

    def add_in_place() -> None:
        nonlocal x
        x += 1

    for change in (
        lambda: x.__setitem__(0, 1.0),
        lambda: x[1].__setitem__(0, 1.0),
        lambda: x.fill(3),
        lambda: x.write(F),
        add_in_place,
    ):
        with pytest.raises(ValueError, match="read-only"):
            change()
    view[0] = 7
    assert x[0, 0] == 7
    x.flags.writeable = True
    x += 1
    assert x[0, 0] == 8
    with pytest.raises(ValueError, match="must not be written"):
        mnp.asarray(np.frombuffer(b"1234", np.uint8)).setflags(write=True)


def test_memory_is_shared_with_foreign_functions() -> None:
    x = mnp.array(F)
    memoryview(x.data)[0, 0] = 3.5
    assert x[0, 0] == 3.5
    pointer = x.ctypes.data
    assert pointer == np.asarray(x).ctypes.data
    assert x[0].base is not None
    assert mnp.shares_memory(x[0].base, x)
    assert mnp.zeros(3).base is None


def test_dlpack() -> None:
    x = mnp.array(F)
    shared = np.from_dlpack(x)
    shared[0, 0] = 9
    assert x[0, 0] == 9
    copied = np.from_dlpack(x, copy=True)
    copied[0, 0] = 1
    assert x[0, 0] == 9
    assert x.__dlpack_device__() == (1, 0)
    x.__dlpack__(max_version=(1, 0), dl_device=(1, 0), copy=None)
    with pytest.raises(ValueError, match="stream"):
        x.__dlpack__(stream=1)
    with pytest.raises(BufferError):
        x.__dlpack__(max_version=(1, 0), dl_device=(2, 0))
    with config.using(lazy=True):
        recorded = mnp.array(F) + 1
    with pytest.raises(BufferError):
        recorded.__dlpack__(copy=False)
    np.testing.assert_array_equal(np.from_dlpack(recorded), F + 1)


def test_to_device() -> None:
    x = mnp.array(F)
    assert x.to_device("cpu") is x
    with pytest.raises(ValueError, match="device"):
        x.to_device("gpu")
    with pytest.raises(ValueError, match="stream"):
        x.to_device("cpu", stream=3)


def test_files(tmp_path: Path) -> None:
    mnp.array(X).tofile(tmp_path / "bytes")
    np.testing.assert_array_equal(np.fromfile(tmp_path / "bytes", np.int32), X.ravel())
    mnp.array(X).tofile(str(tmp_path / "text"), sep=",", format="%d")
    assert (tmp_path / "text").read_text() == "3,1,2,6,5,4"
    for refused in (lambda: mnp.array(X).dump(tmp_path / "no"), mnp.array(X).dumps):
        with pytest.raises(DTypeError, match="pickle"):
            refused()


@pytest.mark.parametrize("lazy", [False, True])
def test_copies(lazy: bool) -> None:
    with config.using(lazy=lazy):
        x = mnp.array(F) * 2
        for made in (
            copy.copy(x),
            copy.deepcopy(x),
            pickle.loads(pickle.dumps(x)),
            pickle.Unpickler(io.BytesIO(pickle.dumps(x, 2))).load(),
            x.copy("F"),
        ):
            np.testing.assert_array_equal(np.asarray(made), F * 2)


def test_parts_are_assigned() -> None:
    for lazy in (False, True):
        with config.using(lazy=lazy):
            x, wanted = mnp.array(C), C.copy()
            x.real = wanted.real = np.array([7, 8, 9], np.float32)
            x.imag = wanted.imag = 2
            x.flat = wanted.flat
            np.testing.assert_array_equal(np.asarray(x), wanted)
    with pytest.raises(TypeError, match="imaginary"):
        mnp.array(F).imag = 1


def test_resize() -> None:
    x, wanted = mnp.array(X), X.copy()
    x.resize(2, 4, refcheck=False)
    wanted.resize(2, 4, refcheck=False)
    np.testing.assert_array_equal(np.asarray(x), wanted)
    x.resize((2, 2))
    wanted.resize((2, 2))
    np.testing.assert_array_equal(np.asarray(x), wanted)


def test_annotations() -> None:
    assert mnp.ndarray[Any, np.dtype[np.float32]].__origin__ is mnp.ndarray


def test_view_as_type() -> None:
    x = mnp.array(F)
    assert isinstance(x.view(mnp.ndarray), mnp.ndarray)
    assert isinstance(x.view("i4", mnp.ndarray), mnp.ndarray)
    with pytest.raises(DTypeError, match="asarray"):
        x.view(type=np.ndarray)


@tried
@given(
    array=arrays(EVERY),
    dtype=st.sampled_from(EVERY),
    casting=st.sampled_from(["safe", "same_kind"]),
)
def test_astype(array: np.ndarray[Any, Any], dtype: str, casting: Any) -> None:
    matches(
        lambda a: a.astype(dtype, casting=casting),
        lambda a: a.astype(dtype, casting=casting),
        array,
        defaults=False,
    )
