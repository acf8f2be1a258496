"""Damaged and hostile files raise FormatError, whatever the damage; files are written whole."""

from __future__ import annotations

import json
import os
import random
import resource
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mnn import expr as F  # noqa: N812
from mnn import nn
from mnn.errors import FormatError, MnnError
from mnn.format.model import load_model
from mnn.format.writer import write_file

FOLDER = Path(__file__).resolve().parent.parent / "data" / "models"
MUTATIONS = 2000
NAMES = [
    model["file"]
    for model in json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))["models"]
]


def opens(path: Path) -> bool:
    """Return whether a file loads; an undocumented error, or a second of work, fails the test."""
    start = time.process_time()
    try:
        load_model(path)
    except (MnnError, OSError):
        loaded = False
    else:
        loaded = True
    assert time.process_time() - start < 1
    return loaded


@pytest.fixture(autouse=True)
def _bounded_memory() -> Iterator[None]:
    """Fail a test that needed more memory than all fixtures together do, by far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 128 << 10  # in KiB


def chosen() -> list[str]:
    """Return the three smallest models."""
    return sorted(NAMES, key=lambda name: (FOLDER / name).stat().st_size)[:3]


@pytest.mark.parametrize("name", chosen())
def test_every_truncation_is_refused(name: str, tmp_path: Path) -> None:
    whole = (FOLDER / name).read_bytes()
    path = tmp_path / "cut.mnn"
    step = max(1, len(whole) // 400)
    for size in [*range(0, len(whole) - 8, step), *range(min(64, len(whole)))]:
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError):
            load_model(path)


@pytest.mark.parametrize("name", chosen())
def test_random_damage_gives_a_documented_error_or_a_model(name: str, tmp_path: Path) -> None:
    whole = (FOLDER / name).read_bytes()
    draw = random.Random(name)
    path = tmp_path / "damaged.mnn"
    refused = 0
    for _ in range(MUTATIONS):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(data))
            if draw.random() < 0.5:
                data[place] = draw.randrange(256)
            else:
                value = draw.choice([0, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, draw.getrandbits(32)])
                place = min(place & ~3, len(data) - 4)
                struct.pack_into("<I", data, place, value)
        path.write_bytes(data)
        refused += not opens(path)
    assert refused > MUTATIONS // 20


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0" * 8,
        b"\xff" * 64,
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        struct.pack("<I", 0xFFFFFFF0) + b"\0" * 60,
        struct.pack("<Ii", 4, 0x7FFFFFFF) + b"\0" * 60,
        struct.pack("<Ii", 4, -0x80000000) + b"\0" * 60,
    ],
    ids=["empty", "byte", "zeros", "ones", "png", "far-root", "far-vtable", "vtable-behind"],
)
def test_other_bytes_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.mnn"
    path.write_bytes(data)
    with pytest.raises(FormatError):
        nn.load_module_from_file(path, [], [])


def test_a_missing_file_and_a_folder_are_os_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.mnn", tmp_path):
        with pytest.raises(OSError, match=path.name):
            nn.load_module_from_file(path, [], [])


def test_unknown_names_are_listed() -> None:
    with pytest.raises(FormatError, match="nowhere"):
        nn.load_module_from_file(FOLDER / chosen()[0], [], ["nowhere"])


def test_a_chain_of_thousands_of_operators(tmp_path: Path) -> None:
    F.lazy_eval(True)
    x = F.placeholder([2], F.NCHW)
    x.name = "x"
    y = x
    for _ in range(3000):
        y = y + x
    path = tmp_path / "long.mnn"
    F.save([y], str(path))
    (found,) = nn.load_module_from_file(path, [], []).onForward([np.ones(2, np.float32)])
    assert found.read().tolist() == [3001.0, 3001.0]


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.mnn"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    F.lazy_eval(True)
    x = F.placeholder([2], F.NCHW)
    with pytest.raises(OSError, match="No space left"):
        F.save([x + x], str(path))
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["kept.mnn"]


def test_writing_follows_links_and_never_replaces_devices(tmp_path: Path) -> None:
    real, link, pipe = tmp_path / "real.bin", tmp_path / "link.bin", tmp_path / "pipe"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write_file(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(pipe, b"data")
        assert os.read(reader, 10) == b"data"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_write_errors_name_what_was_asked_for(tmp_path: Path) -> None:
    for target, error in ((tmp_path, IsADirectoryError), (tmp_path / "a" / "b", FileNotFoundError)):
        with pytest.raises(error) as caught:
            write_file(target, b"data")
        assert caught.value.filename == str(target)


@pytest.mark.parametrize(
    ("name", "place", "changed"),
    [
        ("lstm_bidirectional.mnn", 14896, struct.pack("<I", 1605425252)),  # parts of a Slice
        ("index_ops.mnn", 5748, b"\3"),  # the place of the kind of an operator's parameters
    ],
)
def test_damage_that_was_not_refused_once(
    name: str, place: int, changed: bytes, tmp_path: Path
) -> None:
    data = bytearray((FOLDER / name).read_bytes())
    data[place : place + len(changed)] = changed
    path = tmp_path / "damaged.mnn"
    path.write_bytes(data)
    assert not opens(path)
