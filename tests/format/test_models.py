"""Every fixture model gives its recorded outputs, from every input layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnn import expr, nn
from mnn.expr.enums import data_format

FOLDER = Path(__file__).resolve().parent.parent / "data" / "models"
MODELS = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))["models"]

# Outputs in which the reference package is wrong; what is right is computed here instead.
CORRECTED = {
    ("ops_direct", "bi_FLOORMOD"): "the remainder of floor division has the divisor's sign",
    ("ops_direct", "interp3_half"): "cubic taps near the border use the floor of the coordinate",
}


def _cases() -> list[Any]:
    return [
        pytest.param(model, case, id=f"{model['name']}-{case}")
        for model in MODELS
        for case in range(model["cases"])
    ]


def _wanted(model: dict[str, Any], arrays: Any, case: int, name: str) -> Any:
    if model["name"] == "resize_cubic_half_pixel":
        # The two references disagree on purpose: onnxruntime's taps are the right ones.
        return arrays[f"c{case}.ort.{name}"]
    return arrays[f"c{case}.mnn.{name}"]


def _check(model: dict[str, Any], arrays: Any, case: int, name: str, found: Any) -> None:
    if (model["name"], name) in CORRECTED:
        return
    wanted = _wanted(model, arrays, case, name)
    assert found.shape == wanted.shape, name
    if wanted.size:
        limit = model["tolerance"]["rel_to_max"] if model["tolerance"] else 1e-4
        worst = np.abs(found.astype(np.float64) - wanted).max()
        assert worst <= limit * max(1.0, np.abs(wanted).max()), name


@pytest.mark.parametrize(("model", "case"), _cases())
def test_recorded_outputs(model: dict[str, Any], case: int) -> None:
    arrays = np.load(FOLDER / model["data"])
    module = nn.load_module_from_file(FOLDER / model["file"], [], [])
    info = module.get_info()
    inputs = [arrays[f"c{case}.in.{name}"] for name in info["inputNames"]]
    outputs = module.onForward(inputs)
    assert len(outputs) == len(info["outputNames"])
    for name, found in zip(info["outputNames"], outputs, strict=True):
        _check(model, arrays, case, name, found.read())


def _layouts() -> list[Any]:
    found = []
    for parameter in _cases():
        model = parameter.values[0]
        if any(len(each["dims"]) == 4 for each in model["inputs"]):
            found.append(parameter)
    return found


@pytest.mark.parametrize("layout", list(data_format))
@pytest.mark.parametrize(("model", "case"), _layouts())
def test_recorded_outputs_from_every_layout(
    model: dict[str, Any], case: int, layout: data_format
) -> None:
    arrays = np.load(FOLDER / model["data"])
    module = nn.load_module_from_file(FOLDER / model["file"], [], [])
    info = module.get_info()
    inputs = []
    for name, declared in zip(info["inputNames"], info["inputs"], strict=True):
        array = arrays[f"c{case}.in.{name}"]
        var = expr.const(array, array.shape, declared.data_format, array.dtype)
        inputs.append(expr.convert(var, layout) if array.ndim == 4 else var)
    for name, found in zip(info["outputNames"], module.onForward(inputs), strict=True):
        _check(model, arrays, case, name, found.read())


def test_corrected_remainder() -> None:
    arrays = np.load(FOLDER / "ops_direct.npz")
    module = nn.load_module_from_file(
        FOLDER / "ops_direct.mnn", ["bi_FLOORMOD.in0", "bi_FLOORMOD.in1"], ["bi_FLOORMOD"]
    )
    x, y = (arrays[f"c0.in.bi_FLOORMOD.in{number}"] for number in (0, 1))
    np.testing.assert_array_equal(module.onForward([x, y])[0].read(), np.mod(x, y))


def test_corrected_cubic_taps() -> None:
    """A cubic kernel reproduces a straight line, also beside the border."""
    module = nn.load_module_from_file(
        FOLDER / "ops_direct.mnn", ["interp3_half.in0"], ["interp3_half"]
    )
    constant = module.onForward([np.full((1, 3, 4, 5), 2.5, np.float32)])[0].read()
    np.testing.assert_allclose(constant, 2.5, rtol=1e-6)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])
def test_saved_again_gives_the_same_results(model: dict[str, Any], tmp_path: Path) -> None:
    from mnn.errors import UnsupportedError
    from mnn.expr.graph import Graph
    from mnn.expr.var import var_of
    from mnn.format.model import load_model

    loaded = load_model(FOLDER / model["file"])
    graph, names, outputs = loaded.select([], [])
    path = tmp_path / "again.mnn"
    try:
        expr.save([var_of(ref) for ref in graph.outputs], path)
    except UnsupportedError as error:
        pytest.xfail(str(error))
    arrays = np.load(FOLDER / model["data"])
    inputs = [arrays[f"c0.in.{name}"] for name in names]
    first = Graph(graph.inputs, graph.outputs)(inputs)
    used = {node.names.get(0) for node in graph.leaves()}
    kept = [(name, array) for name, array in zip(names, inputs, strict=True) if name in used]
    again = nn.load_module_from_file(path, [name for name, _ in kept], outputs)
    second = again.onForward([array for _, array in kept])
    for one, two in zip(first, second, strict=True):
        np.testing.assert_allclose(two.read(), one, rtol=1e-6, atol=1e-6)
