"""Modules from files and from recorded graphs: which inputs they take, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnn.expr as F  # noqa: N812
from mnn import nn
from mnn.errors import (
    DTypeError,
    EvaluationError,
    FormatError,
    GraphError,
    ModelInputError,
    SettingError,
)

FOLDER = Path(__file__).parent.parent / "data" / "models"
CNN = FOLDER / "cnn_bn.mnn"
DATA = np.load(FOLDER / "cnn_bn.npz")
X, Y = DATA["c0.in.x"], DATA["c0.mnn.y"]


def load(inputs: Any = (), outputs: Any = (), **settings: Any) -> nn.LoadedModule:
    return nn.load_module_from_file(CNN, list(inputs), list(outputs), **settings)


def check(found: Any) -> None:
    np.testing.assert_allclose(found.read(), Y, rtol=1e-4, atol=1e-5)


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "outputs"), [([], []), (["x"], []), ([], ["y"]), (("x",), ("y",)), (None, None)]
)
def test_names_and_empty_lists(inputs: Any, outputs: Any) -> None:
    check(nn.load_module_from_file(CNN, inputs, outputs)(X))


def test_inner_tensors_are_outputs_in_the_order_asked() -> None:
    names = ["/f/f.3/MaxPool_output_0", "y", "/f/f.2/Relu_output_0", "y"]
    pooled, y, relu, again = load([], names).onForward([X])
    check(y)
    check(again)
    assert relu.shape == (1, 8, 16, 16)
    corners = relu.read().reshape(1, 8, 8, 2, 8, 2).max((3, 5))
    np.testing.assert_array_equal(pooled.read(), corners)


def test_an_inner_tensor_as_input_cuts_the_model() -> None:
    (inner,) = load([], ["/Flatten_output_0"]).onForward([X])
    check(load(["/Flatten_output_0"], ["y"])(inner))


def test_models_with_several_inputs_and_outputs() -> None:
    module = nn.load_module_from_file(FOLDER / "multi_io.mnn", [], [])
    info = module.get_info()
    arrays = np.load(FOLDER / "multi_io.npz")
    inputs = [arrays[f"c0.in.{name}"] for name in info["inputNames"]]
    outputs = module.onForward(inputs)
    assert isinstance(module(*inputs), list)
    for name, found, again in zip(info["outputNames"], outputs, module(inputs), strict=True):
        np.testing.assert_allclose(found.read(), arrays[f"c0.mnn.{name}"], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(again.read(), found.read())
    last = info["outputNames"][-1]
    with pytest.raises(ModelInputError, match="found 1 inputs, expected"):
        module.onForward(inputs[:1])
    (only,) = nn.load_module_from_file(FOLDER / "multi_io.mnn", [], [last]).onForward(inputs)
    np.testing.assert_array_equal(only.read(), outputs[-1].read())


@pytest.mark.parametrize(
    ("inputs", "outputs", "error", "message"),
    [
        (["data"], [], FormatError, r"no tensors named \['data'\]. Its inputs are \['x'\]"),
        ([], ["z"], FormatError, r"no tensors named \['z'\]"),
        (["x", "x"], [], FormatError, "names an input twice"),
        ("x", [], DTypeError, "expected a list of names"),
        ([], [3], DTypeError, "expected a list of names"),
        (["/f/f.2/Relu_output_0"], ["x___tr4/f/f.0/Conv_output_0"], FormatError, r"\['x'\]"),
    ],
)
def test_bad_names(inputs: Any, outputs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        nn.load_module_from_file(CNN, inputs, outputs)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        nn.load_module_from_file(tmp_path / "none.mnn", [], [])
    with pytest.raises(IsADirectoryError):
        nn.load_module_from_file(tmp_path, [], [])
    with pytest.raises(TypeError):
        nn.load_module_from_file(None, [], [])  # type: ignore[arg-type]
    (tmp_path / "text.mnn").write_text("not a model")
    with pytest.raises(FormatError):
        nn.load_module_from_file(tmp_path / "text.mnn", [], [])


# --- ways to call --------------------------------------------------------------------------------


def test_every_way_to_call() -> None:
    module, var = load(), F.const(X, X.shape, F.NCHW)
    for single in (module(var), module(X), module.forward(var), module.forward(X.tolist())):
        check(single)
    for several in (module([var]), module([X]), module.forward((var,)), module.onForward([X])):
        assert isinstance(several, list)
        check(several[0])
    for call in (module.onForward, lambda value: module.onForward(value)):
        for value in (var, X, None, "x"):
            with pytest.raises(ModelInputError, match="expected a list of inputs"):
                call(value)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("layout", [F.NCHW, F.NHWC, F.NC4HW4])
def test_every_layout(layout: Any, lazy: bool) -> None:
    F.lazy_eval(lazy)
    check(load()(F.convert(F.const(X, X.shape, F.NCHW), layout)))


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "int32", "uint8", "bool"])
def test_every_number_type_becomes_the_model_s(dtype: str) -> None:
    numbers = (np.abs(X) * 3).astype(dtype)
    found = load()(numbers)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.read(), load()(numbers.astype(np.float32)).read())


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), "found 0 inputs, expected 1: x"),
        (([],), "found 0 inputs, expected 1: x"),
        ((X, X), "found 2 inputs, expected 1: x"),
        (([X, X],), "found 2 inputs, expected 1: x"),
        ((X[0],), r"input 'x': found shape \[3, 16, 16\], expected \[1, 3, 16, 16\]"),
        ((X[:, :1],), r"expected \[1, 3, 16, 16\] \(NCHW\): size 1 on axis 1. Check the layout"),
        ((X.transpose(0, 2, 3, 1),), "The data looks like NHWC: make it with const"),
        ((np.concatenate([X, X], 3),), r"x \[1, 3, 16, 32\] \(declared \[1, 3, 16, 16\]\)"),
        ((X.astype(complex),), "input 'x': found complex128, expected float32"),
    ],
)
def test_wrong_inputs_raise_at_the_call(inputs: Any, message: str, lazy: bool) -> None:
    F.lazy_eval(lazy)
    with pytest.raises(ModelInputError, match=message):
        load()(*inputs)


@pytest.mark.parametrize("value", [None, "text", {"x": X}, [None], X.astype(str), object()])
def test_what_is_no_array_is_refused(value: Any) -> None:
    with pytest.raises(DTypeError, match="input 'x': found"):
        load()(value)


def test_an_unwritten_placeholder() -> None:
    place = F.placeholder(list(X.shape), F.NCHW)
    place.name = "picture"
    with pytest.raises(EvaluationError, match="input picture has no value yet"):
        load()(place)
    F.lazy_eval(True)
    y = load()(place)
    with pytest.raises(EvaluationError, match="input picture has no value yet"):
        y.read()
    place.write(X)
    check(y)
    place.write(X * 0)
    assert not np.allclose(y.read(), Y, atol=1e-3)


def test_the_outputs_belong_to_the_caller() -> None:
    module = load()
    first = module(X)
    kept = first.read()
    kept[...] = 7
    check(module(X))
    assert (first.read() == 7).all()


def test_sizes_may_change_unless_they_are_fixed() -> None:
    twice = np.concatenate([X, X])
    np.testing.assert_allclose(load()(twice).read(), np.concatenate([Y, Y]), rtol=1e-4, atol=1e-5)
    assert load()(X[:0]).shape == (0, 10)
    fixed = load(shape_mutable=False)
    check(fixed(X))
    with pytest.raises(ModelInputError, match="size 2 on axis 0"):
        fixed(twice)
    with pytest.raises(ModelInputError, match="size 2 on axis 0"):
        fixed.clone()(twice)


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"backend": F.OPENCL, "precision_mode": F.High, "memory_mode": 2, "power_mode": "high"},
        {"backend": "cpu", "thread_num": 4, "dynamic": True, "rearrange": True},
        {"runtime_manager": nn.create_runtime_manager(({"backend": "CPU", "numThread": 2},))},
        {"runtime_manager": nn.RuntimeManager()},
    ],
)
def test_settings_never_change_results(settings: Any) -> None:
    check(load(**settings)(X))


@pytest.mark.parametrize("precision", [F.Low, "Low_BF16"])
def test_low_precision_keeps_eight_bits(precision: Any) -> None:
    """Products of bfloat16 have a relative error of 2**-8 each; sums are float32."""
    exact = load()(X).read()
    np.testing.assert_allclose(load(precision_mode=precision)(X).read(), exact, atol=2**-8)


@pytest.mark.parametrize(
    "settings",
    [{"backend": 99}, {"thread_num": 0}, {"precision_mode": "best"}, {"memory_mode": None}],
)
def test_bad_settings(settings: Any) -> None:
    with pytest.raises(SettingError, match=r"[Ee]xpected"):
        load(**settings)


def test_a_runtime_manager_comes_from_its_function() -> None:
    with pytest.raises(DTypeError, match="expected the result of create_runtime_manager"):
        load(runtime_manager={"backend": "CPU"})


def test_the_external_weight_file_can_be_named(tmp_path: Path) -> None:
    model = tmp_path / "model.mnn"
    model.write_bytes((FOLDER / "external_weights.mnn").read_bytes())
    weights = tmp_path / "elsewhere.bin"
    weights.write_bytes((FOLDER / "external_weights.mnn.weight").read_bytes())
    manager = nn.create_runtime_manager(({},))
    manager.set_external(str(weights))
    module = nn.load_module_from_file(model, [], [], runtime_manager=manager)
    arrays = np.load(FOLDER / "external_weights.npz")
    name, out = module.get_info()["inputNames"][0], module.get_info()["outputNames"][0]
    found = module(arrays[f"c0.in.{name}"]).read()
    np.testing.assert_allclose(found, arrays[f"c0.mnn.{out}"], rtol=1e-4, atol=1e-5)


# --- what a module knows -------------------------------------------------------------------------


def test_info() -> None:
    info = load().get_info()
    assert sorted(info) == ["bizCode", "inputNames", "inputs", "outputNames", "version"]
    assert (info["inputNames"], info["outputNames"]) == (["x"], ["y"])
    assert info["version"] == "3.6.1"
    assert info["bizCode"] == "fmt"
    (place,) = info["inputs"]
    assert place.shape == [1, 3, 16, 16]
    assert place.name == "x"
    place.write(X)
    check(load()(place))


def test_a_clone_is_independent() -> None:
    module = load()
    module.set_name("first")
    twin = module.clone()
    check(twin(X))
    assert twin.get_info()["inputNames"] == ["x"]
    assert twin.name == module.name == "first"
    del module
    check(twin(X))


def test_training_mode_and_parameters_of_a_loaded_module() -> None:
    module = load()
    assert module.is_training
    module.train(False)
    assert not module.is_training
    assert not module.clone().is_training
    assert module.parameters == []
    module.clear_cache()
    assert repr(module) == "LoadedModule(x -> y)"


# --- load_module ---------------------------------------------------------------------------------


def test_a_part_of_a_graph() -> None:
    tensors = F.load_as_dict(str(CNN))
    check(nn.load_module([tensors["x"]], [tensors["y"]], False)(X))
    inner = tensors["/Flatten_output_0"]
    head = nn.load_module([inner], [tensors["y"]], False)
    body = nn.load_module([tensors["x"]], [inner])
    check(head(body(X)))
    assert head.parameters == []


def test_constants_of_a_part_become_parameters() -> None:
    tensors = F.load_as_dict(str(CNN))
    module = nn.load_module([tensors["x"]], [tensors["y"]], True)
    names = len(module.parameters)
    assert names > 4
    check(module(X))
    before = [each.read().copy() for each in module.parameters]
    twin = module.clone()
    for each in twin.parameters:
        each.write(each.read() * 0)
    check(module(X))
    np.testing.assert_allclose(twin(X).read(), 0.1)
    for each, kept in zip(module.parameters, before, strict=True):
        np.testing.assert_array_equal(each.read(), kept)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_part_of_a_graph_can_be_trained(lazy: bool) -> None:
    from mnn import optim

    tensors = F.load_as_dict(str(CNN))
    module = nn.load_module([tensors["x"]], [tensors["y"]], True)
    F.lazy_eval(lazy)
    target = F.const(np.eye(10, dtype=np.float32)[[3]], [1, 10])
    trainer = optim.SGD(module, 0.05, 0.0)
    losses = []
    for _ in range(5):
        loss = nn.loss.mse(module(X), target)
        losses.append(float(loss))
        assert trainer.step(loss)
    assert losses[-1] < 0.5 * losses[0]


def test_bad_parts_of_graphs() -> None:
    tensors = F.load_as_dict(str(CNN))
    x, y = tensors["x"], tensors["y"]
    with pytest.raises(GraphError, match="found no outputs"):
        nn.load_module([x], [], False)
    with pytest.raises(GraphError, match="do not depend on any of the inputs"):
        nn.load_module([F.placeholder([1])], [y], False)
    for inputs, outputs in (([X], [y]), ([x], Y), (None, [y])):
        with pytest.raises(DTypeError, match="expected a list of Vars only"):
            nn.load_module(inputs, outputs, False)  # type: ignore[arg-type]
    with pytest.raises(EvaluationError, match="input x has no value"):
        nn.load_module([], [y], False).onForward([])
