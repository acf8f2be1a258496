"""Attention kernels against NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mnn  # noqa: F401  (operators register their bodies)
from mnn.codegen.kernel import INPUT, OUTPUT, Buffer, Epilogue, Tensor, contiguous
from mnn.codegen.program import Program, constant_step
from mnn.codegen.target import TARGETS, host_target
from mnn.codegen.templates import attention
from mnn.errors import CodegenError
from mnn.records import replace
from tests.codegen.imaging import emit_all
from tests.codegen.programs import step
from tests.codegen.running import filled, run

Array = np.ndarray[Any, Any]
X86 = ("avx512", "avx2", "sse2")
FLOAT = np.dtype(np.float32)


def wanted(
    q: Array,
    k: Array,
    v: Array,
    *,
    scale: float = 1.0,
    mask: Array | None = None,
    hidden: Array | None = None,
    causal: bool = False,
    zero: bool = False,
) -> Array:
    """Return what attention means, in float64; `hidden` is True where nothing is seen."""
    q, k, v = (each.astype(np.float64) for each in (q, k, v))
    with np.errstate(all="ignore"):
        scores = q @ k * scale
        if mask is not None:
            scores = scores + mask
        if hidden is not None:
            scores = np.where(hidden, -np.inf, scores)
        if causal:
            rows, columns = scores.shape[-2:]
            scores = np.where(np.tri(rows, columns, columns - rows, dtype=bool), scores, -np.inf)
        peak = scores.max(axis=-1, keepdims=True)
        powers = np.exp(scores - np.where(np.isneginf(peak), 0, peak))
        total = powers.sum(axis=-1, keepdims=True)
        if zero:
            total = np.where(total == 0, 1, total)
        made: Array = (powers / total) @ v
    return made


def program(scale: float, *, mask: str = "") -> Program:
    """Return scores times a factor; `mask` "add" adds an operand, "hide" is where it is True."""
    steps = [constant_step(scale, "float32")]
    inputs: tuple[str, ...] = ("float32",)
    first = 1
    if mask:
        inputs = ("float32", "float32" if mask == "add" else "bool")
        first = 2
    steps.append(step("multiply", 0, first))
    if mask == "add":
        steps.append(step("add", first + 1, 1))
    elif mask == "hide":
        steps.append(constant_step(-math.inf, "float32"))
        steps.append(step("select", 1, first + 2, first + 1))
    return Program(inputs, tuple(steps), (len(inputs) + len(steps) - 1,))


class Case:
    """Queries, keys and values whose heads lie side by side, and the result."""

    def __init__(self, heads: int, m: int, n: int, depth: int, e: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.arrays = [
            rng.standard_normal(shape, np.float32)
            for shape in ((m, heads, depth), (n, heads, depth), (n, heads, e))
        ]
        self.tensors = [filled(each) for each in self.arrays]
        out = contiguous(Buffer(m * heads * e * 4, OUTPUT), (m, heads, e), FLOAT)
        self.q = self.tensors[0].permuted((1, 0, 2))
        self.k = self.tensors[1].permuted((1, 2, 0))
        self.v = self.tensors[2].permuted((1, 0, 2))
        self.out = out.permuted((1, 0, 2))
        self.views = [
            array.transpose(axes)
            for array, axes in zip(self.arrays, ((1, 0, 2), (1, 2, 0), (1, 0, 2)), strict=True)
        ]

    def compare(
        self,
        target: str,
        want: Array,
        *,
        more: tuple[tuple[Tensor, Array], ...] = (),
        chunk: int = 0,
        **options: Any,
    ) -> None:
        """Assert that the kernels compute `want`."""
        calls = attention.lower(self.q, self.k, self.v, self.out, TARGETS[target], **options)
        pairs = [*zip(self.tensors, self.arrays, strict=True), *more]
        (got,) = run(calls, pairs, [self.out], target=TARGETS[target], chunk=chunk)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("target", X86)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_shapes(target: str, data: Any) -> None:
    heads = data.draw(st.sampled_from([1, 2, 3]))
    m = data.draw(st.sampled_from([1, 2, 5, 8, 13, 29, 64]))
    n = data.draw(st.sampled_from([1, 3, 7, 16, 33, 100, 131]))
    depth = data.draw(st.sampled_from([1, 5, 16, 33, 64]))
    e = data.draw(st.sampled_from([1, 3, 16, 20, 48, 70]))
    causal, zero = data.draw(st.booleans()), data.draw(st.booleans())
    case = Case(heads, m, n, depth, e)
    scale = 1 / math.sqrt(depth)
    want = wanted(*case.views, scale=scale, causal=causal, zero=zero)
    case.compare(
        target,
        want,
        chunk=data.draw(st.sampled_from([0, 1])),
        scores=Epilogue(program(scale)),
        causal=causal,
        zero=zero,
    )


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("n", [2049, 2080, 2500, 3000])
@pytest.mark.parametrize("causal", [False, True])
def test_many_keys_come_in_blocks(target: str, n: int, causal: bool) -> None:
    case = Case(2, 21, n, 8, 20)
    # Scores that grow from block to block, and rows whose first blocks are hidden.
    case.arrays[1][...] *= np.linspace(0, 6, n, dtype=np.float32)[:, None, None]
    mask = np.zeros((21, n), np.float32)
    mask[3, :2000] = -np.inf
    mask[4] = -np.inf
    mask[5, 1500] = 1e30
    tensor = filled(mask)
    scores = Epilogue(program(1.0, mask="add"), (tensor,))
    want = wanted(*case.views, mask=mask, causal=causal, zero=True)
    calls = attention.lower(case.q, case.k, case.v, case.out, TARGETS[target], scores=scores)
    assert calls[-1].kernel.online  # type: ignore[attr-defined]
    for chunk in (0, 1):
        case.compare(
            target,
            want,
            more=((tensor, mask),),
            chunk=chunk,
            scores=scores,
            causal=causal,
            zero=True,
        )


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("shape", [(3, 9, 37), (1, 9, 37), (1, 1, 37), (3, 9, 1), (3, 1, 1)])
@pytest.mark.parametrize("kind", ["add", "hide"])
def test_masks(target: str, shape: tuple[int, ...], kind: str) -> None:
    case = Case(3, 9, 37, 12, 17)
    rng = np.random.default_rng(1)
    mask: Array = rng.standard_normal(shape, np.float32)
    if kind == "hide":
        mask = mask > 0.2
    tensor = filled(mask)
    scores = Epilogue(program(0.3, mask=kind), (tensor,))
    options = {"mask": mask} if kind == "add" else {"hidden": mask}
    want = wanted(*case.views, scale=0.3, **options)  # type: ignore[arg-type]
    case.compare(target, want, more=((tensor, mask),), scores=scores)


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("n", [40, 2100])
def test_special_values(target: str, zero: bool, n: int) -> None:
    case = Case(1, 10, n, 4, 18)
    q, mask = case.arrays[0], np.zeros((10, n), np.float32)
    q[1] = np.nan
    mask[2, 7] = np.nan
    mask[3, 7] = np.inf
    mask[4] = -np.inf
    mask[5, : n - 1] = -np.inf
    mask[6] = -1e38
    tensor = filled(mask)
    scores = Epilogue(program(1.0, mask="add"), (tensor,))
    want = wanted(*case.views, mask=mask, zero=zero)
    assert np.isnan(want[0, [1, 2, 3]]).all()
    assert np.isnan(want[0, 4]).all() != zero
    case.compare(target, want, more=((tensor, mask),), scores=scores, zero=zero)


def test_heads_share_keys() -> None:
    rng = np.random.default_rng(2)
    q = rng.standard_normal((2, 2, 3, 20, 16), np.float32)
    k = rng.standard_normal((2, 2, 1, 30, 16), np.float32)
    v = rng.standard_normal((2, 2, 1, 30, 24), np.float32)
    tensors = [filled(each) for each in (q, k, v)]
    out = contiguous(Buffer(4 * 2 * 2 * 3 * 20 * 24, OUTPUT), (2, 2, 3, 20, 24), FLOAT)
    calls = attention.lower(
        tensors[0], tensors[1].permuted((0, 1, 2, 4, 3)), tensors[2], out, host_target()
    )
    pack = [each for each in calls if each.label.startswith("pack")]
    assert sum(each.items for each in pack) <= 2 * 2 * 2 * 2, "shared keys are packed once"
    (got,) = run(calls, list(zip(tensors, (q, k, v), strict=True)), [out], chunk=1)
    np.testing.assert_allclose(got, wanted(q, k.swapaxes(-1, -2), v), rtol=2e-5, atol=2e-5)


def test_elements_that_lie_apart_are_copied_first() -> None:
    case = Case(2, 12, 20, 6, 16)
    array = np.ascontiguousarray(case.views[0].swapaxes(-1, -2))
    turned = filled(array)
    calls = attention.lower(turned.permuted((0, 2, 1)), case.k, case.v, case.out, host_target())
    pairs = [*zip(case.tensors[1:], case.arrays[1:], strict=True), (turned, array)]
    (got,) = run(calls, pairs, [case.out])
    np.testing.assert_allclose(got, wanted(*case.views), rtol=2e-5, atol=2e-5)


@pytest.mark.skipif(not host_target().bfloat16, reason="no bfloat16 products on this machine")
@pytest.mark.parametrize("sizes", [(2, 40, 64, 64, 64), (1, 9, 33, 32, 17), (3, 20, 2200, 64, 70)])
@pytest.mark.parametrize("causal", [False, True])
def test_low_precision(sizes: tuple[int, ...], causal: bool) -> None:
    case = Case(*sizes)
    scale = 1 / math.sqrt(sizes[3])
    calls = attention.lower(
        case.q,
        case.k,
        case.v,
        case.out,
        host_target(),
        scores=Epilogue(program(scale)),
        causal=causal,
        low=True,
    )
    assert calls[-1].kernel.product != "float32"  # type: ignore[attr-defined]
    pairs = list(zip(case.tensors, case.arrays, strict=True))
    want = wanted(*case.views, scale=scale, causal=causal)
    for chunk in (0, 1):
        (got,) = run(calls, pairs, [case.out], chunk=chunk)
        np.testing.assert_allclose(got, want, atol=0.02)


def test_what_it_does_not_take() -> None:
    def tensor(*shape: int, dtype: str = "float32") -> Tensor:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return contiguous(Buffer(size, INPUT), shape, np.dtype(dtype))

    q, k, v, out = tensor(4, 8), tensor(8, 5), tensor(5, 6), tensor(4, 6)
    target = TARGETS["avx2"]
    with pytest.raises(CodegenError, match="do not fit"):
        attention.lower(q, k, v, tensor(4, 7), target)
    with pytest.raises(CodegenError, match="2 axes"):
        attention.lower(tensor(8), k, v, out, target)
    with pytest.raises(CodegenError, match="expected keys"):
        attention.lower(q, tensor(8, 0), tensor(0, 6), out, target)
    with pytest.raises(CodegenError, match="Convert"):
        attention.lower(q, k, tensor(5, 6, dtype="float64"), out, target)
    with pytest.raises(CodegenError, match="lie apart"):
        attention.lower(q, k, v, replace(out, strides=(1, 4)), target)
    wrong = Program(("float32",), (step("less", 0, 0, result="bool"),), (1,))
    with pytest.raises(CodegenError, match="scores become"):
        attention.lower(q, k, v, out, target, scores=Epilogue(wrong))
    assert attention.lower(tensor(0, 8), k, v, tensor(0, 6), target) == []


def test_emits_for_neon() -> None:
    case = Case(2, 30, 2100, 24, 40)
    for options in ({}, {"causal": True, "zero": True}):
        calls = attention.lower(
            case.q,
            case.k,
            case.v,
            case.out,
            TARGETS["neon"],
            scores=Epilogue(program(0.5)),
            **options,
        )
        assert emit_all(calls, "neon") > 0
