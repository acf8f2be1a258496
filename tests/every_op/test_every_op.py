"""Every declared operator, tested from its declaration alone."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnn import expr, nn
from mnn.config import config
from mnn.errors import UnsupportedError
from mnn.expr.enums import data_format
from mnn.expr.grad import gradients
from mnn.expr.node import Ref
from mnn.expr.symbols import fresh, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.format.encode import can_encode
from mnn.ops.create import placeholder
from mnn.ops.spec import OpSpec, Sample, all_specs
from scripts.operator_table import gradient_is_zero

SPECS = all_specs()


def _samples(specs: list[OpSpec]) -> Iterator[Any]:
    for spec in specs:
        for number, sample in enumerate(spec.samples):
            yield pytest.param(spec, sample, id=f"{spec.name}-{number}")


def _bad_calls() -> Iterator[Any]:
    for spec in SPECS:
        for call in spec.bad:
            yield pytest.param(spec, call, id=f"{spec.name}-{call.why}")


def _call(spec: OpSpec, inputs: tuple[Any, ...], attributes: Any) -> list[Var]:
    with np.errstate(all="ignore"):
        result = spec(*inputs, **attributes)
    return list(result) if isinstance(result, tuple) else [result]


def _fresh(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(Var(each.copy()) if isinstance(each, np.ndarray) else each for each in inputs)


def _tolerance(dtype: np.dtype[Any]) -> float:
    table = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-12, "complex64": 1e-5}
    return table.get(dtype.name, 0.0)


def _equal(got: Any, want: Any) -> None:
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    tolerance = _tolerance(got.dtype)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_has_samples_and_documentation(spec: OpSpec) -> None:
    assert spec.samples, "an operator without samples is untested"
    assert spec.doc
    assert not spec.doc.endswith(".")


@pytest.mark.parametrize(("spec", "sample"), list(_samples(SPECS)))
def test_eager_equals_lazy_and_the_type_rule(spec: OpSpec, sample: Sample) -> None:
    eager = _call(spec, _fresh(sample.inputs), sample.attributes)
    with config.using(lazy=True), np.errstate(all="ignore"):
        lazy = _call(spec, _fresh(sample.inputs), sample.attributes)
        types = [each._type for each in lazy]
        arrays = [each.read() for each in lazy]
    assert len(eager) == len(lazy)
    for now, later, kind, array in zip(eager, lazy, types, arrays, strict=True):
        if spec.pure:
            _equal(array, now.read())
        assert kind.dtype == array.dtype == now.dtype
        assert now.data_format == kind.format == later.data_format
        if kind.shape is not None:
            assert len(kind.shape) == array.ndim
            for declared, found in zip(shape_numbers(kind.shape), array.shape, strict=True):
                assert declared in (-1, found)
        if kind.value is not None:
            np.testing.assert_array_equal(kind.value, array)


@pytest.mark.parametrize(
    ("spec", "sample"), [p for p in _samples(SPECS) if p.values[1].oracle is not None]
)
def test_reference_equals_oracle(spec: OpSpec, sample: Sample) -> None:
    assert sample.oracle is not None
    with np.errstate(all="ignore"):
        wanted = sample.oracle(*sample.inputs, **sample.attributes)
    wanted = wanted if isinstance(wanted, (tuple, list)) else [wanted]
    got = _call(spec, sample.inputs, sample.attributes)
    assert len(got) == len(wanted)
    for each, want in zip(got, wanted, strict=True):
        _equal(each.read(), np.asarray(want))


@pytest.mark.parametrize(("spec", "sample"), list(_samples(SPECS)))
def test_type_rule_with_unknown_sizes(spec: OpSpec, sample: Sample) -> None:
    """With every size unknown the rule either refuses or says nothing wrong."""
    eager = _call(spec, _fresh(sample.inputs), sample.attributes)
    types: list[TensorType | None] = []
    for var in spec._operands(sample.inputs):
        if var is None:
            types.append(None)
        elif var.dtype.kind in "iub" and var.size <= 16:
            types.append(var._type)  # shapes, axes and the like: rules may need the value
        else:
            kind = var._type
            types.append(kind.with_shape(fresh("test") for _ in kind.shape or ()))
    attributes = spec._attributes(sample.attributes)
    results = spec.infer_types(types, attributes)
    assert len(results) == len(eager)
    for kind, var in zip(results, eager, strict=True):
        if kind.shape is not None:
            assert len(kind.shape) == var.ndim
            for declared, found in zip(shape_numbers(kind.shape), var.shape, strict=True):
                assert declared in (-1, found)


def _checked_operands(sample: Sample) -> list[int]:
    """Return the positions of the operands whose gradient a sample checks."""
    floats = [
        index
        for index, each in enumerate(sample.inputs)
        if isinstance(each, np.ndarray) and each.dtype.kind == "f"
    ]
    if isinstance(sample.gradient, tuple):
        return [index for index in floats if index in sample.gradient]
    return floats if sample.gradient else []


def _differentiable() -> Iterator[Any]:
    for parameter in _samples([spec for spec in SPECS if spec.grad is not None]):
        if _checked_operands(parameter.values[1]):
            yield parameter


# Rules that finite differences cannot confirm, and why.
OTHER_GRADIENTS = {"fake_quantize": "straight through the rounding, whose slope is 0"}


def _unchecked() -> list[OpSpec]:
    checked = {parameter.values[0].name for parameter in _differentiable()}
    return [spec for spec in SPECS if spec.grad is not None and spec.name not in checked]


@pytest.mark.parametrize("spec", _unchecked(), ids=lambda spec: spec.name)
def test_rule_without_a_checked_sample_says_zero(spec: OpSpec) -> None:
    assert gradient_is_zero(spec) != (spec.name in OTHER_GRADIENTS)


@pytest.mark.parametrize(("spec", "sample"), list(_differentiable()))
def test_gradient_equals_finite_differences(spec: OpSpec, sample: Sample) -> None:
    inputs = [
        each.astype(np.float64) if isinstance(each, np.ndarray) and each.dtype.kind == "f" else each
        for each in sample.inputs
    ]
    places = _checked_operands(sample)

    def build(arrays: list[Any]) -> tuple[list[Var], list[Var]]:
        variables = [Var(each.copy()) if isinstance(each, np.ndarray) else each for each in arrays]
        for place in places:
            variables[place].fix_as_trainable()
        results = _call(spec, tuple(variables), sample.attributes)
        return [each for each in results if each.dtype.kind == "f"], variables

    outputs, variables = build(inputs)
    rng = np.random.default_rng(7)
    seeds = [Var(rng.standard_normal(each.shape)) for each in outputs]
    found = gradients(outputs, seeds, [variables[place] for place in places])

    def loss(arrays: list[Any]) -> float:
        results = _call(spec, tuple(_fresh(tuple(arrays))), sample.attributes)
        values = [each.read() for each in results if each.dtype.kind == "f"]
        return float(sum((v * s.read()).sum() for v, s in zip(values, seeds, strict=True)))

    for place, gradient in zip(places, found, strict=True):
        wanted = np.zeros(inputs[place].shape)
        flat = wanted.reshape(-1)
        for index in range(flat.size):
            step = 1e-6 * max(1.0, abs(inputs[place].reshape(-1)[index]))
            shifted = [
                [a.copy() if isinstance(a, np.ndarray) else a for a in inputs] for _ in range(2)
            ]
            shifted[0][place].reshape(-1)[index] += step
            shifted[1][place].reshape(-1)[index] -= step
            flat[index] = (loss(shifted[0]) - loss(shifted[1])) / (2 * step)
        got = np.zeros_like(wanted) if gradient is None else gradient.read()
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("spec", "call"), list(_bad_calls()))
def test_bad_call_raises(spec: OpSpec, call: Any) -> None:
    for lazy in (False, True):
        with config.using(lazy=lazy), pytest.raises(call.error) as caught:
            _call(spec, call.inputs, call.attributes)
        assert str(caught.value)


@pytest.mark.parametrize("spec", [s for s in SPECS if s.pure], ids=lambda spec: spec.name)
def test_equal_calls_are_one_node(spec: OpSpec) -> None:
    sample = spec.samples[0]
    inputs = _fresh(sample.inputs)
    if not all(isinstance(each, Var) or each is None for each in inputs):
        return
    with config.using(lazy=True):
        first, second = (_call(spec, inputs, sample.attributes) for _ in range(2))
    for one, two in zip(first, second, strict=True):
        assert isinstance(one._ref, Ref)
        assert two._ref is not None
        assert one._ref.node is two._ref.node


NO_FILE_TYPE = {"float64", "int64", "complex64", "complex128", "float16"}
"""Element types that become others in files."""

_FED = {"float32", "int32", "uint8", "int8"}


def _savable() -> list[Any]:
    found = []
    for parameter in _samples([spec for spec in SPECS if spec.pure and can_encode(spec)]):
        sample: Sample = parameter.values[1]
        dtypes = {each.dtype.name for each in sample.inputs if isinstance(each, np.ndarray)}
        if not dtypes & NO_FILE_TYPE:
            found.append(parameter)
    return found


def _ways_to_feed(sample: Sample) -> list[list[int]]:
    """Return which operands are inputs of the file: all float arrays, or only the first operand.

    The others become constants: weights of layers have to.
    """
    arrays = {
        place: each.dtype
        for place, each in enumerate(sample.inputs)
        if isinstance(each, np.ndarray) and each.ndim > 0
    }
    floats = [place for place, dtype in arrays.items() if dtype.kind == "f"]
    first = [0] if 0 in arrays and arrays[0].name in _FED else []
    return [floats] if floats == first else [floats, first]


def _comes_back(spec: OpSpec, sample: Sample, fed: list[int], path: Path) -> bool:
    """Save and load a sample and compare; return False when files cannot hold it."""
    attributes = spec._attributes(sample.attributes)
    format = data_format.NHWC if attributes.get("layout") == "NHWC" else data_format.NCHW
    format = attributes.get("source", format)
    wanted = [each.read() for each in _call(spec, _fresh(sample.inputs), sample.attributes)]
    names, arrays, operands = [], [], []
    with config.using(lazy=True):
        for position, each in enumerate(sample.inputs):
            if position not in fed:
                operands.append(each)
                continue
            var = placeholder(each.shape, format if position == 0 else data_format.NCHW, each.dtype)
            var.name = f"in{position}"
            names.append(var.name)
            arrays.append(each)
            operands.append(var)
        results = _call(spec, tuple(operands), sample.attributes)
        for position, each in enumerate(results):
            each.name = f"out{position}"
        try:
            expr.save(results, path)
        except UnsupportedError:
            return False
    module = nn.load_module_from_file(path, names, [f"out{n}" for n in range(len(results))])
    with np.errstate(all="ignore"):
        found = [each.read() for each in module.onForward(arrays)]
    for got, want in zip(found, wanted, strict=True):
        assert got.shape == want.shape
        stored = want.astype(np.int32) if want.dtype.kind == "b" else want
        np.testing.assert_allclose(
            got.astype(stored.dtype), stored, rtol=2e-6, atol=2e-6, err_msg=spec.name
        )
    return True


@pytest.mark.parametrize(("spec", "sample"), _savable())
def test_saved_and_loaded_gives_equal_results(spec: OpSpec, sample: Sample, tmp_path: Path) -> None:
    """Files refuse attributes that they lack; what they accept comes back."""
    for number, fed in enumerate(_ways_to_feed(sample)):
        _comes_back(spec, sample, fed, tmp_path / f"{number}.mnn")


@pytest.mark.parametrize(
    "spec",
    [spec for spec in SPECS if spec.pure and can_encode(spec)],
    ids=lambda spec: spec.name,
)
def test_files_hold_some_sample_of_a_savable_operator(spec: OpSpec, tmp_path: Path) -> None:
    samples = [parameter.values[1] for parameter in _savable() if parameter.values[0] is spec]
    assert any(
        _comes_back(spec, sample, fed, tmp_path / "graph.mnn")
        for sample in samples
        for fed in _ways_to_feed(sample)
    )


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_calls_that_every_operator_refuses(spec: OpSpec) -> None:
    sample = spec.samples[0]
    with pytest.raises(TypeError, match="unknown arguments"):
        spec(*sample.inputs, **sample.attributes, no_such_argument=1)
    if not spec.inputs:
        return
    with pytest.raises(TypeError):
        spec("text", *sample.inputs[1:], **sample.attributes)
    if not spec.inputs[-1].endswith("*"):
        with pytest.raises(TypeError, match="operands"):
            spec(*sample.inputs, *[None] * len(spec.inputs), 1.0, **sample.attributes)
    if not spec.inputs[0].endswith(("?", "*")):
        with pytest.raises(TypeError):
            spec(**sample.attributes)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_operands_by_name(spec: OpSpec) -> None:
    signature = inspect.signature(spec)
    sample = spec.samples[0]
    if spec.inputs and spec.inputs[-1].endswith("*"):
        return
    bound = signature.bind(*sample.inputs, **sample.attributes)
    by_position = _call(spec, _fresh(sample.inputs), sample.attributes)
    by_name = _call(spec, (), bound.arguments)
    for one, two in zip(by_position, by_name, strict=True):
        np.testing.assert_array_equal(one.read(), two.read())
