"""What operators look like in files: forms that other readers need, and hand-made ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnn import expr as F  # noqa: N812
from mnn import nn
from mnn.errors import UnsupportedError
from mnn.expr.trace import trace
from mnn.expr.types import TensorType
from mnn.format.reader import read_net
from mnn.format.schema import schema
from mnn.format.writer import build_net
from mnn.ops.control import if_else, while_loop

FLOATS = TensorType((3,), np.dtype(np.float32))


@pytest.fixture(autouse=True)
def recorded() -> Any:
    F.lazy_eval(True)
    yield
    F.lazy_eval(False)


def kinds(path: Path) -> list[str]:
    """Return the operator types of a file, in order."""
    names = schema().enums["OpType"].by_value
    return [names[op.type] for op in read_net(path).oplists]


def source(*shape: int, name: str = "x", dtype: Any = F.float) -> Any:
    """Return a named input."""
    var = F.placeholder(list(shape), F.NCHW, dtype)
    var.name = name
    return var


def run(path: Path, *arrays: Any) -> list[Any]:
    """Return the results of a file for its inputs in order."""
    return [each.read() for each in nn.load_module_from_file(path, [], []).onForward(list(arrays))]


def test_histogram_fields(tmp_path: Path) -> None:
    """`topK` holds the upper bound and `softmaxThreshold` the lower one."""
    net = {
        "oplists": [
            {
                "type": "Input",
                "main_type": "Input",
                "main": {"dims": [20], "dtype": "DT_FLOAT", "dformat": "NCHW"},
                "outputIndexes": [0],
            },
            {
                "type": "Histogram",
                "main_type": "ArgMax",
                "main": {"outMaxVal": 4, "topK": 2, "softmaxThreshold": -1, "axis": -1},
                "inputIndexes": [0],
                "outputIndexes": [1],
            },
        ],
        "tensorName": ["x", "y"],
    }
    path = tmp_path / "histogram.mnn"
    path.write_bytes(build_net(net))
    values = np.linspace(-1.5, 2.5, 20).astype(np.float32)
    (found,) = run(path, values)
    np.testing.assert_array_equal(found, np.histogram(values, 4, (-1, 2))[0])


def test_operands_of_one_type(tmp_path: Path) -> None:
    """Operators of files take operands of one type: what graphs promote is cast."""
    x, y = source(3), source(3, name="y", dtype=F.int)
    path = tmp_path / "mixed.mnn"
    F.save([x + y], path)
    assert kinds(path).count("Cast") == 1
    (found,) = run(path, np.ones(3, np.float32), np.arange(3, dtype=np.int32))
    assert found.tolist() == [1.0, 2.0, 3.0]


def test_small_integers_compute_in_32_bits(tmp_path: Path) -> None:
    x = source(3, dtype=F.uint8)
    path = tmp_path / "small.mnn"
    F.save([x + x], path)
    (found,) = run(path, np.array([1, 100, 200], np.uint8))
    assert found.dtype == np.uint8
    assert found.tolist() == [2, 200, 144]


def test_constant_indices_count_from_the_start(tmp_path: Path) -> None:
    x = source(4)
    path = tmp_path / "gather.mnn"
    F.save([x[np.array([-1, 0, -4])]], path)
    stored = [op.main.int32s.tolist() for op in read_net(path).oplists if op.main_type == "Blob"]
    assert [3, 0, 0] in stored
    assert run(path, np.arange(4, dtype=np.float32))[0].tolist() == [3.0, 0.0, 0.0]


def test_branches_pass_what_they_use(tmp_path: Path) -> None:
    x, y, flag = source(3), source(3, name="y"), source(name="flag", dtype=F.int)
    then_branch = trace(lambda a, b: [a * 2.0], [FLOATS, FLOATS])
    else_branch = trace(lambda a, b: [b], [FLOATS, FLOATS])
    result = if_else(flag, x, y, then_branch=then_branch, else_branch=else_branch)
    path = tmp_path / "if.mnn"
    F.save([result], path)
    taken = np.arange(3, dtype=np.float32)
    module = nn.load_module_from_file(path, ["flag", "x", "y"], [])
    for choice, wanted in ((1, taken * 2), (0, taken + 5)):
        (found,) = module.onForward([np.array(choice, np.int32), taken, taken + 5])
        np.testing.assert_array_equal(found.read(), wanted)


def test_a_body_that_reads_the_graph_around_it_is_refused(tmp_path: Path) -> None:
    outer = source(3, name="outer")
    body = trace(lambda a: [a + outer], [FLOATS])
    flag = source(name="flag", dtype=F.int)
    result = if_else(flag, source(3), then_branch=body, else_branch=body)
    with pytest.raises(UnsupportedError, match="outer"):
        F.save([result], tmp_path / "if.mnn")


def test_conditional_loops_inside_loops(tmp_path: Path) -> None:
    number = TensorType((), np.dtype(np.int32))
    inner_test = trace(lambda n: [n < 10], [number])
    inner_step = trace(lambda n: [n + 4], [number])
    test = trace(lambda n: [n < 30], [number])
    step = trace(lambda n: [while_loop(n, condition=inner_test, body=inner_step) * 2], [number])
    path = tmp_path / "nested.mnn"
    F.save([while_loop(source(dtype=F.int), condition=test, body=step)], path)
    assert len(read_net(path).subgraphs) == 4
    assert run(path, np.array(1, np.int32))[0] == 52
