"""Models that were loaded before: no graph is read, and everything is as it was the first time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are code")

import mnn.expr as F  # noqa: N812
from mnn import nn
from mnn.backends import planned, segments, store
from mnn.backends.store import PlanStore
from mnn.codegen.cache import ObjectCache
from mnn.codegen.mapping import can_map_code
from mnn.config import config
from mnn.errors import FormatError, ModelInputError
from mnn.nn import remembered

pytestmark = pytest.mark.skipif(not can_map_code(), reason="code cannot be mapped here")

FOLDER = Path(__file__).parent.parent / "data" / "models"
DATA = np.load(FOLDER / "cnn_bn.npz")
X, Y = DATA["c0.in.x"], DATA["c0.mnn.y"]


@pytest.fixture(autouse=True)
def plans(tmp_path, monkeypatch) -> Iterator[PlanStore]:
    """A store of its own for each test; files count as settled at once."""
    # The sources may change while tests run, which is not the subject here.
    monkeypatch.setattr(store, "take_snapshot", lambda: (("a.py", 1, 1, 1, 1),))
    monkeypatch.setattr(store, "generator_digest", lambda cache, snapshot: b"known")
    monkeypatch.setattr(remembered, "SETTLED_SECONDS", -1e9)
    made = PlanStore(ObjectCache(tmp_path / "cache"))
    for module in (planned, segments, remembered):
        monkeypatch.setattr(module, "plan_store", lambda: made)
    with config.using(backend="cpu"):
        yield made


@pytest.fixture
def file(tmp_path) -> Path:
    return Path(shutil.copy(FOLDER / "cnn_bn.mnn", tmp_path / "model.mnn"))


def load(path: Path, inputs=(), outputs=(), **settings) -> nn.LoadedModule:
    return nn.load_module_from_file(path, list(inputs), list(outputs), **settings)


def ran(path: Path, x: np.ndarray = X) -> np.ndarray:
    """Results of a module that was loaded and run, so that its plan is stored."""
    found = load(path)(x).read()
    assert found.shape == (len(x), *Y.shape[1:])
    return found


def test_the_graph_is_not_read_again(file):
    first = ran(file)
    module = load(file)
    for _ in range(2):
        np.testing.assert_array_equal(module(X).read(), first)
    assert not module._graph.is_made
    np.testing.assert_allclose(first, Y, rtol=1e-4, atol=1e-5)


def test_information_is_the_same(file):
    first, second = load(file), load(file)
    assert first._graph.is_made
    one, two = first.get_info(), second.get_info()
    assert not second._graph.is_made
    for name in ("version", "bizCode", "inputNames", "outputNames"):
        assert one[name] == two[name]
    for mine, other in zip(one["inputs"], two["inputs"], strict=True):
        assert (mine.shape, mine.dtype, mine.data_format, mine.name) == (
            other.shape,
            other.dtype,
            other.data_format,
            other.name,
        )


def test_wrong_inputs_are_refused_the_same(file):
    ran(file)
    module = load(file)
    for bad in (X[:, :1], X.astype(complex), X[0]):
        with pytest.raises(ModelInputError):
            module(bad)
    with pytest.raises(ModelInputError):
        module.onForward([X, X])
    assert not module._graph.is_made


def test_each_shape_and_precision_has_a_plan_of_its_own(file):
    twice = np.concatenate([X, X])
    first, both = ran(file), ran(file, twice)
    module = load(file)
    np.testing.assert_array_equal(module(X).read(), first)
    np.testing.assert_array_equal(module(twice).read(), both)
    assert not module._graph.is_made
    runtime = nn.create_runtime_manager(({"precision": "low"},))
    np.testing.assert_allclose(load(file, runtime_manager=runtime)(X).read(), Y, atol=0.1)
    # A new shape is compiled, and those that were known stay as they were.
    thrice = np.concatenate([X, X, X])
    np.testing.assert_allclose(module(thrice).read()[1], first[0], rtol=1e-5, atol=1e-6)
    assert module._graph.is_made
    np.testing.assert_array_equal(module(X).read(), first)


def test_each_choice_of_tensors_is_another_graph(file):
    ran(file)
    inner = "/f/f.2/Relu_output_0"
    relu = load(file, outputs=[inner]).onForward([X])[0].read()
    assert relu.shape == (1, 8, 16, 16)
    again = load(file, outputs=[inner])
    np.testing.assert_array_equal(again.onForward([X])[0].read(), relu)
    assert not again._graph.is_made
    with pytest.raises(FormatError, match="no tensors named"):
        load(file, outputs=["nothing"])


def test_a_file_that_changed_is_read_again(file):
    first = ran(file)
    content = file.read_bytes()
    module = load(file)
    for change in (content[:-8] + bytes(8), content[: len(content) // 2]):
        file.write_bytes(change)
        try:
            assert load(file)._graph.is_made
        except FormatError:
            continue
    # Another file in the same place does not disturb who has the old one mapped.
    os.replace(shutil.copy(FOLDER / "cnn_bn.mnn", file.with_name("new")), file)
    assert load(file)._graph.is_made
    np.testing.assert_array_equal(ran(file), first)
    del module


def test_a_file_that_was_replaced_lives_on_in_its_modules(file):
    first = ran(file)
    module = load(file)
    file.unlink()
    np.testing.assert_array_equal(module(X).read(), first)
    np.testing.assert_allclose(module(np.concatenate([X, X])).read()[1], first[0], atol=1e-5)
    with pytest.raises(FileNotFoundError):
        load(file)


def test_files_written_a_moment_ago_are_not_remembered(file, monkeypatch):
    monkeypatch.setattr(remembered, "SETTLED_SECONDS", 3600.0)
    ran(file)
    assert load(file)._graph.is_made


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:100], lambda _: b""])
def test_damaged_entries_are_made_again(file, tmp_path, damage):
    first = ran(file)
    for path in (tmp_path / "cache").glob("*.kernel"):
        path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(ran(file), first)
    module = load(file)
    np.testing.assert_array_equal(module(X).read(), first)
    assert not module._graph.is_made


def test_copies_and_recorded_calls(file):
    first = ran(file)
    module = load(file)
    twin = module.clone()
    np.testing.assert_array_equal(twin(X).read(), first)
    assert not module._graph.is_made
    with config.using(lazy=True):
        recorded = module(F.const(X, X.shape))
    np.testing.assert_allclose(recorded.read(), first, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(module(X).read(), first)


def test_constants_that_are_written_count(file):
    """Who records a call reaches the constants, and may write them."""
    first = ran(file)
    module = load(file)
    module(X)
    with config.using(lazy=True):
        waiting = [module(F.const(X, X.shape))]
        while waiting:
            var = waiting.pop()
            waiting += var.inputs
            if var.op_type == "Const" and var.dtype == np.float32 and var.shape != list(X.shape):
                var.write(np.zeros(var.shape, np.float32))
    assert not np.array_equal(module(X).read(), first)
    np.testing.assert_array_equal(load(file)(X).read(), first)


def test_weights_in_a_file_of_their_own(tmp_path):
    names = [each for each in FOLDER.glob("*.mnn") if each.with_suffix(".mnn.weight").exists()]
    for source in names:
        path = Path(shutil.copy(source, tmp_path / source.name))
        weights = shutil.copy(f"{source}.weight", f"{path}.weight")
        module = load(path)
        shapes = [each.shape for each in module.get_info()["inputs"]]
        if any(-1 in shape for shape in shapes):
            continue
        arrays = [np.full(shape, 0.25, np.float32) for shape in shapes]
        wanted = [each.read() for each in module.onForward(arrays)]
        again = load(path)
        assert not again._graph.is_made
        for one, two in zip(again.onForward(arrays), wanted, strict=True):
            np.testing.assert_array_equal(one.read(), two)
        os.utime(weights)
        assert load(path)._graph.is_made
    assert names, "no fixture keeps its weights apart"


def test_nothing_is_kept_when_the_sources_are_unknown(file, monkeypatch, tmp_path):
    monkeypatch.setattr(store, "generator_digest", lambda cache, snapshot: None)
    made = PlanStore(ObjectCache(tmp_path / "other"))
    assert not made.usable
    assert made.get_text("a") is None
    made.put_text("a", b"content")
    monkeypatch.setattr(remembered, "plan_store", lambda: made)
    ran(file)
    assert load(file)._graph.is_made


def test_nothing_is_kept_once_the_sources_change(plans, monkeypatch):
    plans.put_text("before", b"content")
    monkeypatch.setattr(store, "take_snapshot", lambda: (("a.py", 2, 2, 2, 2),))
    plans.put_text("after", b"content")
    assert plans.get_text("before") == b"content"
    assert plans.get_text("after") is None


_SCRIPT = """
import sys
import numpy as np
from mnn.backends import store
from mnn.nn import remembered
store.take_snapshot = lambda: (("a.py", 1, 1, 1, 1),)
store.generator_digest = lambda cache, snapshot: b"known"
remembered.SETTLED_SECONDS = -1e9
from mnn import nn
x = np.load(sys.argv[2])["c0.in.x"]
runtime = nn.create_runtime_manager(({"numThread": int(sys.argv[3])},))
found = nn.load_module_from_file(sys.argv[1], [], [], runtime_manager=runtime)(x).read()
heavy = ("llvmlite", "mnn.compile.pipeline", "mnn.format.decode", "mnn.codegen.builder")
print([each for each in heavy if each in sys.modules], found.tobytes().hex())
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_another_process_needs_no_compiler(file, tmp_path, threads):
    settings = {**os.environ, "MNN_CACHE_DIR": str(tmp_path / "shared")}
    settings.pop("MNN_CACHE", None)
    seen = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, str(file), str(FOLDER / "cnn_bn.npz"), str(threads)],
            env=settings,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        seen.append(done.stdout.rsplit(" ", 1))
    assert seen[0][1] == seen[1][1]
    assert seen[1][0] == "[]", seen[1][0]
