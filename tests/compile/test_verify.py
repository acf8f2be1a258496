"""What the verifier finds: each kind of mistake that a stage of the compiler could make."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

from mnn.backends.cpu.steps import HostCall, LoopCall
from mnn.codegen.kernel import CONSTANT, INPUT, OUTPUT, Buffer, Call, Kernel, Pointer, contiguous
from mnn.codegen.target import host_target
from mnn.compile.flow import Flow, Value
from mnn.compile.fusion import Unit, fuse
from mnn.compile.lowering import lower
from mnn.compile.memory import Lifetime
from mnn.compile.verify_flow import verify_flow, verify_units
from mnn.compile.verify_plan import verify_order, verify_places, verify_steps, verify_tensors
from mnn.config import Config, config
from mnn.errors import VerificationError
from mnn.records import replace

SINGLE = np.dtype(np.float32)


def softmax() -> Flow:
    """exp(x) / sum(exp(x)), then transposed."""
    flow = Flow()
    x = flow.input((6, 8), SINGLE)
    powers = flow.map("exp", [x])
    made = flow.map("divide", [powers, flow.reduce("sum", powers, [1])])
    flow.outputs = [flow.permute(made, (1, 0))]
    return flow


def of_kind(flow: Flow, kind: str) -> Value:
    return next(each for each in flow.values if each.kind == kind)


def test_a_right_flow_passes() -> None:
    flow = softmax()
    assert verify_flow(flow) == len(flow.values)
    verify_units(flow, fuse(flow))


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        ("map", "shape", (6, 9)),
        ("map", "number", 3),
        ("reduce", "shape", (1, 8)),
        ("reduce", "attributes", {"name": "sum", "axes": (2,)}),
        ("permute", "shape", (6, 8)),
        ("permute", "attributes", {"axes": (0, 0)}),
        ("permute", "dtype", np.dtype(np.int32)),
        ("input", "attributes", {"index": 1}),
    ],
)
def test_values_that_contradict_their_operands(kind: str, name: str, content: object) -> None:
    flow = softmax()
    setattr(of_kind(flow, kind), name, content)
    with pytest.raises(VerificationError):
        verify_flow(flow)


def test_values_of_another_flow() -> None:
    flow, other = softmax(), softmax()
    value = of_kind(flow, "permute")
    value.inputs = (of_kind(other, "map"),)
    with pytest.raises(VerificationError, match="not before it"):
        verify_flow(flow)
    flow = softmax()
    flow.outputs = other.outputs
    with pytest.raises(VerificationError, match="none of the flow's"):
        verify_flow(flow)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("slice", {"starts": (0, 5), "steps": (1, 1)}),
        ("slice", {"starts": (0, 0), "steps": (1, -1)}),
        ("pad", {"before": (2, 0), "value": 0.0}),
        ("concat", {"axis": 0}),
    ],
)
def test_movements_beyond_their_operands(kind: str, attributes: dict[str, object]) -> None:
    flow = Flow()
    x = flow.input((6, 8), SINGLE)
    if kind == "slice":
        flow.outputs = [flow.slice(x, (0, 2), (1, 1), (6, 5))]
    elif kind == "pad":
        flow.outputs = [flow.make("pad", (x,), (7, 9), SINGLE, {"before": (1, 0), "value": 0.0})]
    else:
        flow.outputs = [flow.concat([x, flow.input((6, 3), SINGLE)], 1)]
    verify_flow(flow)
    of_kind(flow, kind).attributes = attributes
    with pytest.raises(VerificationError):
        verify_flow(flow)


def chain() -> tuple[Flow, list[Unit]]:
    """Two units: a running sum of a loop's results."""
    flow = Flow()
    x = flow.input((4, 8), SINGLE)
    attributes = {"name": "sum", "axis": 1, "exclusive": False, "reverse": False}
    flow.outputs = [flow.make("scan", (flow.map("exp", [x]),), (4, 8), SINGLE, attributes)]
    units = fuse(flow)
    assert len(units) == 2
    return flow, units


def test_units_out_of_order() -> None:
    flow, units = chain()
    verify_units(flow, units)
    with pytest.raises(VerificationError, match="not stored then"):
        verify_units(flow, units[::-1])
    with pytest.raises(VerificationError, match="two units"):
        verify_units(flow, [units[0], *units])
    with pytest.raises(VerificationError, match="no unit stores"):
        verify_units(flow, units[:1])


def test_units_over_another_space() -> None:
    flow = softmax()
    for shape, axes in (((6, 8), (0,)), ((8, 6), (1,))):
        units = fuse(flow)
        units[0].shape, units[0].axes = shape, axes
        with pytest.raises(VerificationError):
            verify_units(flow, units)


# --- tensors, steps, places ----------------------------------------------------------------------


class Nothing(Kernel):
    def build(self, target: object) -> object:  # type: ignore[override]
        raise NotImplementedError


def call(*buffers: Buffer, offset: int = 0, items: int = 1) -> Call:
    return Call(Nothing(), tuple(Pointer(each, offset) for each in buffers), items)


def test_tensors_beyond_their_memory() -> None:
    flow = Flow()
    x = flow.input((4, 8), SINGLE)
    whole = contiguous(Buffer(128), (4, 8), SINGLE)
    verify_tensors({x: whole})
    reversed_ = replace(whole, strides=(8, -1), offset=7)
    verify_tensors({x: reversed_})
    for wrong in (
        replace(whole, offset=1),
        replace(whole, strides=(9, 1)),
        replace(reversed_, offset=6),
        replace(whole, shape=(4, 7)),
        replace(whole, dtype=np.dtype(np.int32)),
        contiguous(Buffer(127), (4, 8), SINGLE),
    ):
        with pytest.raises(VerificationError):
            verify_tensors({x: wrong})


def test_calls_with_impossible_arguments() -> None:
    buffer = Buffer(64)
    verify_steps([call(buffer, offset=64)])
    tensor = contiguous(buffer, (16,), SINGLE)
    moving = LoopCall((call(buffer, offset=8),), 8, ((0, 0, 8),))
    verify_steps([moving])
    for wrong in (
        call(buffer, offset=65),
        call(buffer, offset=-4),
        call(buffer, items=0),
        replace(moving, moving=((0, 0, 9),)),
        replace(moving, moving=((0, 0, -2),)),
        HostCall(list, (replace(tensor, offset=4),), (tensor,)),
    ):
        with pytest.raises(VerificationError):
            verify_steps([wrong])


def test_memory_that_nobody_wrote() -> None:
    flow, units = chain()
    x, between, result = flow.inputs[0], units[0].root, units[1].root
    tensors = {
        x: contiguous(Buffer(128, INPUT), (4, 8), SINGLE),
        between: contiguous(Buffer(128), (4, 8), SINGLE),
        result: contiguous(Buffer(128, OUTPUT), (4, 8), SINGLE),
    }
    room, known = Buffer(100), Buffer(8, CONSTANT)
    places = [each.buffer for each in tensors.values()]
    first = call(places[0], places[1])
    prepared, last = call(places[1], room), call(room, known, places[2])
    counts = [(units[0], 1), (units[1], 2)]
    verify_order(counts, [first, prepared, last], tensors)
    with pytest.raises(VerificationError, match="which no step has written"):
        verify_order(counts, [call(places[0]), prepared, last], tensors)
    with pytest.raises(VerificationError, match="in one step only"):
        verify_order(counts, [first, call(places[1]), last], tensors)


def test_places_that_overlap() -> None:
    lives = [Lifetime(100, 0, 2), Lifetime(64, 2, 3), Lifetime(64, 3, 4)]
    verify_places(lives, [0, 128, 0], 192)
    verify_places(lives, [64, 0, 64], 192)
    for wrong in ([0, 64, 0], [0, 128, 128], [0, 8, 0], [0, 192, 0], [0, 128, -64]):
        with pytest.raises(VerificationError):
            verify_places(lives, wrong, 192)


def test_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = softmax()
    of_kind(flow, "map").shape = (6, 9)
    with pytest.raises(VerificationError), config.using(verify=True):
        lower(flow, host_target())
    for text, wanted in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv("MNN_VERIFY", text)
        assert Config().verify is wanted
