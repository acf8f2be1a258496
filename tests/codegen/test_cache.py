"""The cache of object code: what is wrong with it only costs time."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mnn.codegen.cache import KeyMaker, ObjectCache, user_cache

KEY = KeyMaker(["cpu"]).key("text")
OTHER = KeyMaker(["cpu"]).key("other text")
CODE = bytes(range(256)) * 5

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="file owners and modes are POSIX")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def entry(folder: Path) -> Path:
    (found,) = folder.glob("*.kernel")
    return found


def test_what_is_stored_comes_back_in_another_instance(folder):
    assert ObjectCache(folder).get(KEY) is None
    assert not folder.exists()
    assert ObjectCache(folder).put(KEY, CODE)
    assert ObjectCache(folder).get(KEY) == CODE
    assert ObjectCache(folder).get(OTHER) is None
    assert [each.suffix for each in folder.iterdir()] == [".kernel"]


@posix
def test_folder_and_files_are_private(folder):
    ObjectCache(folder).put(KEY, CODE)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry(folder).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:50],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"X" + data[1:],
        lambda data: data[:10] + bytes([data[10] ^ 1]) + data[11:],
        lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:],
        lambda data: data[:75] + bytes([data[75] ^ 1]) + data[76:],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: b"\x7fELF" + data,
    ],
    ids=["empty", "header", "short", "long", "magic", "key", "digest", "size", "code", "foreign"],
)
def test_damaged_entries_are_ignored_and_replaced(folder, change):
    cache = ObjectCache(folder)
    cache.put(KEY, CODE)
    path = entry(folder)
    path.write_bytes(change(path.read_bytes()))
    assert cache.get(KEY) is None
    assert cache.put(KEY, CODE)
    assert cache.get(KEY) == CODE


def test_an_entry_under_the_wrong_name_is_ignored(folder):
    cache = ObjectCache(folder)
    cache.put(KEY, CODE)
    entry(folder).rename(folder / (OTHER.hex() + ".kernel"))
    assert cache.get(OTHER) is None


def test_a_folder_in_place_of_an_entry_is_ignored(folder):
    cache = ObjectCache(folder)
    folder.mkdir(mode=0o700)
    (folder / (KEY.hex() + ".kernel")).mkdir()
    assert cache.get(KEY) is None
    assert not cache.put(KEY, CODE)


@posix
def test_entries_that_others_may_write_are_ignored(folder):
    cache = ObjectCache(folder)
    cache.put(KEY, CODE)
    entry(folder).chmod(0o622)
    assert cache.get(KEY) is None


@posix
def test_links_are_not_followed(folder, tmp_path):
    cache = ObjectCache(folder)
    cache.put(KEY, CODE)
    entry(folder).rename(tmp_path / "elsewhere")
    (folder / (KEY.hex() + ".kernel")).symlink_to(tmp_path / "elsewhere")
    assert cache.get(KEY) is None


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_is_refused(folder, mode):
    ObjectCache(folder).put(KEY, CODE)
    folder.chmod(mode)
    cache = ObjectCache(folder)
    assert cache.get(KEY) is None
    assert not cache.put(OTHER, CODE)
    assert len(list(folder.iterdir())) == 1


@posix
def test_a_folder_of_another_user_is_refused(folder, monkeypatch):
    ObjectCache(folder).put(KEY, CODE)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    cache = ObjectCache(folder)
    assert cache.get(KEY) is None
    assert not cache.put(OTHER, CODE)


def test_a_read_only_folder_still_serves(folder, monkeypatch):
    ObjectCache(folder).put(KEY, CODE)
    original = os.open

    def read_only(path, flags, *rest):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return original(path, flags, *rest)

    monkeypatch.setattr(os, "open", read_only)
    cache = ObjectCache(folder)
    assert cache.get(KEY) == CODE
    assert not cache.put(OTHER, CODE)


def test_a_place_where_no_folder_can_be_made_stores_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    cache = ObjectCache(tmp_path / "file" / "cache")
    assert not cache.put(KEY, CODE)
    assert cache.get(KEY) is None


def test_a_folder_removed_meanwhile_is_no_error(folder):
    cache = ObjectCache(folder)
    cache.put(KEY, CODE)
    entry(folder).unlink()
    folder.rmdir()
    assert cache.get(KEY) is None
    assert not cache.put(KEY, CODE)


def test_entries_unused_for_longest_go_first(folder):
    keys = [KeyMaker([]).key(str(number)) for number in range(10)]
    for age, key in enumerate(keys):
        ObjectCache(folder).put(key, CODE)
        path = folder / (key.hex() + ".kernel")
        os.utime(path, (1e9 + age, 1e9 + age))
    # Reading marks an old entry as used.
    assert ObjectCache(folder).get(keys[0]) == CODE
    entry_size = path.stat().st_size
    ObjectCache(folder, limit_bytes=4 * entry_size).put(KEY, CODE)
    left = [key for key in keys if ObjectCache(folder).get(key)]
    assert left == [keys[0], keys[8], keys[9]]
    assert ObjectCache(folder).get(KEY) == CODE


def test_leftovers_of_interrupted_writers_are_removed(folder):
    folder.mkdir(mode=0o700)
    old, new = folder / "a.part", folder / "b.part"
    for each in (old, new):
        each.write_text("")
    os.utime(old, (1e9, 1e9))
    ObjectCache(folder).put(KEY, CODE)
    assert not old.exists()
    assert new.exists()


def test_keys_depend_on_text_and_on_every_part():
    keys = {
        KeyMaker(parts).key(text)
        for parts in ([], ["a"], ["b"], ["a", "b"], ["ab"], ["b", "a"])
        for text in ("", "a", "ab")
    }
    assert len(keys) == 18
    assert KeyMaker(["a"]).key("b") == KeyMaker(["a"]).key("b")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"MNN_CACHE": "0", "MNN_CACHE_DIR": "/somewhere"}, None),
        ({"MNN_CACHE_DIR": "/somewhere"}, "/somewhere"),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/mnn"),
    ],
)
@posix
def test_where_the_cache_of_a_user_lies(monkeypatch, environment, expected):
    for name in ("MNN_CACHE", "MNN_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert user_cache().directory == expected


@posix
def test_without_settings_the_cache_lies_in_the_home_folder(monkeypatch, tmp_path):
    for name in ("MNN_CACHE", "MNN_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path))
    directory = user_cache().directory
    assert directory is not None
    assert Path(directory).is_relative_to(tmp_path)


_WRITER = """
import sys
from pathlib import Path
from mnn.codegen.cache import KeyMaker, ObjectCache
cache = ObjectCache(Path(sys.argv[1]))
for turn in range(200):
    key = KeyMaker([]).key(str(turn % 10))
    code = bytes([turn % 10]) * 3000
    assert cache.put(key, code)
    assert cache.get(key) == code
"""


def test_processes_share_a_folder(folder):
    command = [sys.executable, "-c", _WRITER, str(folder)]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors.decode()
    cache = ObjectCache(folder)
    for number in range(10):
        assert cache.get(KeyMaker([]).key(str(number))) == bytes([number]) * 3000
    assert len(list(folder.iterdir())) == 10
