"""Arrays in files: what NumPy reads and writes, no pickles, whole files or none."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn.errors import FormatError, UnsupportedError
from mnn.expr.var import Var
from mnn.numpy.files import tofile
from tests.numpy.agreement import agree
from tests.numpy.differential import EVERY, arrays

in_a_folder = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@in_a_folder
@given(arrays())
def test_npy_files(tmp_path: Path, array: Any) -> None:
    mnp.save(tmp_path / "ours", Var(array))
    want = np.load(tmp_path / "ours.npy")
    np.testing.assert_array_equal(want, array)
    assert want.dtype == array.dtype
    np.save(tmp_path / "numpys.npy", array)
    found = mnp.load(tmp_path / "numpys.npy")
    assert isinstance(found, Var)
    agree(array, found, defaults=False)
    stream = io.BytesIO()
    mnp.save(stream, array)
    stream.seek(0)
    agree(array, mnp.load(stream), defaults=False)


@pytest.mark.parametrize("name", ["savez", "savez_compressed"])
def test_npz_files(tmp_path: Path, name: str) -> None:
    one, two = np.arange(3.0), np.eye(2, dtype=np.int8)
    getattr(mnp, name)(tmp_path / "both", one, named=Var(two))
    with np.load(tmp_path / "both.npz") as numpys:
        np.testing.assert_array_equal(numpys["arr_0"], one)
    with mnp.load(str(tmp_path / "both.npz")) as found:
        assert sorted(found) == sorted(found.files) == ["arr_0", "named"]
        assert len(found) == 2
        assert "named" in found
        agree(one, found["arr_0"], defaults=False)
        agree(two, found["named"], defaults=False)
        assert "keys: " in repr(found)
        with pytest.raises(KeyError, match="other"):
            found["other"]


def test_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for call in (
        lambda: mnp.save(path, [1], allow_pickle=True),
        lambda: mnp.savez(path, [1], allow_pickle=True),
        lambda: mnp.savez_compressed(path, [1], allow_pickle=True),
        lambda: mnp.load(path, allow_pickle=True),
    ):
        with pytest.raises(UnsupportedError, match="code"):
            call()
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(FormatError):
        mnp.load(path)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(FormatError):
        mnp.load(path)
    with pytest.raises(TypeError):
        mnp.save(path, np.array(["text"]))
    np.save(path, np.array(["text"]))
    with pytest.raises(FormatError, match="numbers"):
        mnp.load(path)


@in_a_folder
@given(st.data())
def test_damaged_files(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "whole.npy"
    packed = tmp_path / "whole.npz"
    mnp.save(path, np.arange(20, dtype=np.float32))
    mnp.savez_compressed(packed, a=np.arange(20, dtype=np.float32))
    for each in (path, packed):
        content = bytearray(each.read_bytes())
        if data.draw(st.booleans()):
            content = content[: data.draw(st.integers(0, len(content) - 1))]
        else:
            for _ in range(3):
                content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(
                    st.integers(1, 255)
                )
        broken = tmp_path / f"broken{each.suffix}"
        broken.write_bytes(content)
        try:
            found = mnp.load(broken)
            if not isinstance(found, Var):
                with found:
                    for name in found:
                        found[name]
        except FormatError:
            pass


def test_files_that_do_not_exist(tmp_path: Path) -> None:
    for call in (mnp.load, mnp.fromfile, mnp.loadtxt, mnp.genfromtxt, mnp.memmap):
        with pytest.raises(OSError, match="nothing"):
            call(tmp_path / "nothing")
    with pytest.raises(OSError, match="nowhere"):
        mnp.save(tmp_path / "nowhere" / "a", [1])
    with pytest.raises(ValueError, match="mmap_mode"):
        mnp.load(tmp_path / "nothing", mmap_mode="x")


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    mnp.save(path, np.arange(3))
    before = path.read_bytes()
    os.chmod(path, 0o640)

    class Broken:
        def __array__(self, *arguments: Any, **options: Any) -> Any:
            raise RuntimeError("no data")

    with pytest.raises(RuntimeError):
        mnp.save(path, Broken())
    assert path.read_bytes() == before
    link = tmp_path / "link.npy"
    link.symlink_to(path)
    mnp.save(link, np.arange(4))
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert mnp.load(path).shape == (4,)
    with pytest.raises(AttributeError, match="fmt"):
        mnp.savetxt(tmp_path / "b.txt", np.eye(2), fmt=["%d"] * 3)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.npy", "link.npy"]


def test_memory_maps(tmp_path: Path) -> None:
    path = tmp_path / "map.bin"
    made = mnp.memmap(path, np.float32, "w+", shape=(2, 3))
    made[...] = 1
    made[0, 0] = 7
    del made
    agree(np.array([[7, 1, 1], [1, 1, 1]], np.float32), mnp.memmap(path, "f4", "r", shape=(2, 3)))
    assert mnp.memmap(path, mode="r").dtype == np.uint8
    assert mnp.memmap(path, np.float32, "r", offset=4).shape == (5,)
    with pytest.raises(ValueError, match="mode"):
        mnp.memmap(path, mode="x")
    mnp.save(tmp_path / "a", np.arange(4.0))
    mapped = mnp.load(tmp_path / "a.npy", mmap_mode="r+")
    mapped[1] = 9
    agree(np.array([0.0, 9, 2, 3]), mnp.load(tmp_path / "a.npy"), defaults=False)


@pytest.mark.parametrize("dtype", EVERY)
def test_bytes(tmp_path: Path, dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    path = tmp_path / "a.bin"
    tofile(Var(array), path)
    assert path.read_bytes() == array.tobytes()
    agree(array.ravel(), mnp.fromfile(path, dtype), defaults=False)
    agree(array.ravel()[1:3], mnp.fromfile(path, dtype, 2, offset=array.itemsize), defaults=False)
    with path.open("rb") as stream:
        agree(array.ravel()[:2], mnp.fromfile(stream, dtype, 2), defaults=False)


def test_text_without_header(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    tofile(np.arange(3.0), path, ",", "%g")
    assert path.read_text() == "0,1,2"
    agree(np.arange(3.0), mnp.fromfile(path, sep=","))
    with path.open() as stream:
        agree(np.arange(2.0), mnp.fromfile(stream, np.float64, 2, ","))
    path.write_text("1,x")
    with pytest.raises(ValueError, match="numbers"):
        mnp.fromfile(path, sep=",")
    with pytest.raises(TypeError, match="offset"):
        mnp.fromfile(path, sep=",", offset=1)


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_tables(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table = np.arange(6.0).reshape(3, 2) / 4
    options: dict[str, Any] = {"fmt": "%g", "delimiter": ",", "header": "a,b", "footer": "end"}
    mnp.savetxt(path, Var(table), **options)
    np.savetxt(tmp_path / "numpys.txt", table, **options)
    agree(np.loadtxt(tmp_path / "numpys.txt", delimiter=","), mnp.loadtxt(path, delimiter=","))
    for reading in (
        {"delimiter": ","},
        {"delimiter": ",", "dtype": np.float64, "skiprows": 2},
        {"delimiter": ",", "usecols": 1},
        {"delimiter": ",", "usecols": [1, 0], "unpack": True},
        {"delimiter": ",", "skiprows": 1, "max_rows": 1, "ndmin": 2},
        {"delimiter": ",", "converters": {0: lambda text: float(text) + 1}},
        {"delimiter": ",", "encoding": "utf-8", "quotechar": '"', "comments": "#"},
    ):
        agree(np.loadtxt(path, **reading), mnp.loadtxt(path, **reading))
    for reading in (
        {"delimiter": ","},
        {"delimiter": ",", "skip_header": 1, "skip_footer": 1, "dtype": "f8"},
        {"delimiter": ",", "usecols": [1], "unpack": True},
        {"delimiter": ",", "dtype": None, "max_rows": 2},
    ):
        agree(np.genfromtxt(path, **reading), mnp.genfromtxt(path, **reading))
    stream = io.StringIO()
    mnp.savetxt(stream, [[1, 2]], fmt="%d")
    assert stream.getvalue() == "1 2\n"


def test_nothing_is_fetched() -> None:
    for read in (mnp.loadtxt, mnp.genfromtxt):
        with pytest.raises(UnsupportedError, match="Fetch it first"):
            read("http://127.0.0.1:9/table.txt")


def test_text_with_holes() -> None:
    lines = ["1,2,3", "4,,x"]
    agree(np.genfromtxt(lines, delimiter=","), mnp.genfromtxt(lines, delimiter=","))
    filled: dict[str, Any] = {"delimiter": ",", "filling_values": 7, "missing_values": "x"}
    agree(np.genfromtxt(lines, **filled), mnp.genfromtxt(lines, **filled))
    assert mnp.genfromtxt(["1 2", "3 4"], dtype=None).dtype == np.int32
    assert mnp.genfromtxt([f"{2**40}"], dtype=None).dtype == np.int64
    assert mnp.genfromtxt(["1 2.5"]).dtype == np.float32
    with pytest.raises(UnsupportedError, match="names"):
        mnp.genfromtxt(lines, names=True)
    with pytest.raises(TypeError, match="usecols"):
        mnp.genfromtxt(["1 a", "2 b"], dtype=None, encoding="utf-8")
    with pytest.raises(ValueError, match="columns"):
        mnp.genfromtxt(["1 2", "3"])
    with pytest.raises(ValueError, match="convert"):
        mnp.loadtxt(["a"])
