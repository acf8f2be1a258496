"""Control flow: branches and loops over graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.graph import Graph
from mnn.expr.symbols import fresh
from mnn.expr.trace import graph_types, merge_types, trace
from mnn.expr.types import TensorType
from mnn.ops.arithmetic import add, multiply
from mnn.ops.codec import Codec
from mnn.ops.comparison import less
from mnn.ops.samples import integers, normal
from mnn.ops.spec import REQUIRED, BadCall, OpSpec, Sample

__all__ = ["if_else", "loop", "while_loop"]

Array = np.ndarray[Any, Any]

_BOOL: np.dtype[Any] = np.dtype(np.bool_)
_INT: np.dtype[Any] = np.dtype(np.int32)


def _true(value: Array) -> bool:
    """Return the truth of a condition tensor: its first element is greater than zero."""
    return bool(value.reshape(-1)[0] > 0)


def _check_condition(name: str, type: TensorType) -> None:
    if type.is_static and 0 in (type.shape or ()):
        raise ShapeError(f"{name}: the condition is empty. Expected one element.")


def _check_count(name: str, graph: Graph, given: int) -> None:
    if len(graph.inputs) != given:
        raise ShapeError(
            f"{name}: the body takes {len(graph.inputs)} inputs, found {given}. Pass one per input."
        )


def _merge(
    name: str, first: Sequence[TensorType], second: Sequence[TensorType]
) -> list[TensorType]:
    if len(first) != len(second):
        raise ShapeError(
            f"{name}: {len(first)} results meet {len(second)}. Expected equal numbers."
        )
    for one, two in zip(first, second, strict=True):
        if one.dtype != two.dtype:
            raise DTypeError(
                f"{name}: a result is {one.dtype} on one path and {two.dtype} on the other. "
                "Convert one with astype."
            )
    return [merge_types(one, two) for one, two in zip(first, second, strict=True)]


# --- branches ------------------------------------------------------------------------------------


def _infer_if(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> list[TensorType]:
    _check_condition("if_else", types[0])
    branches = (attributes["then_branch"], attributes["else_branch"])
    for branch in branches:
        _check_count("if_else", branch, len(types) - 1)
    taken, other = (graph_types(branch, types[1:]) for branch in branches)
    return _merge("if_else", taken, other)


def _run_if(
    condition: Array, *arguments: Array, then_branch: Graph, else_branch: Graph
) -> list[Array]:
    return (then_branch if _true(condition) else else_branch)(arguments)


_FLOATS = TensorType((3,), np.dtype(np.float32))
_DOUBLED = trace(lambda x: [multiply(x, 2.0)], [_FLOATS])
_SHIFTED = trace(lambda x: [add(x, 1.0)], [_FLOATS])

if_else = OpSpec(
    "if_else",
    ("condition", "arguments*"),
    _infer_if,
    _run_if,
    "control",
    attributes={"then_branch": REQUIRED, "else_branch": REQUIRED},
    codec=Codec("If", handled=True),
    samples=tuple(
        Sample(
            (np.array(flag, np.int32), normal(3)),
            {"then_branch": _DOUBLED, "else_branch": _SHIFTED},
            oracle=lambda flag, x, **_: x * 2 if flag > 0 else x + 1,
        )
        for flag in (1, 0)
    ),
    bad=(
        BadCall(
            "argument count",
            (True, normal(3), normal(3)),
            ShapeError,
            {"then_branch": _DOUBLED, "else_branch": _SHIFTED},
        ),
    ),
    doc="results of one of two graphs, chosen by whether the condition's first element is > 0",
)


# --- counted loops -------------------------------------------------------------------------------


def _infer_loop(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> list[TensorType]:
    body: Graph = attributes["body"]
    states = list(types[2:])
    _check_count("loop", body, len(states) + 2)
    counter, condition = TensorType((), _INT), TensorType(types[1].shape, types[1].dtype)
    inner = graph_types(body, [counter, condition, *states])
    carried = _merge("loop", states, inner[1 : 1 + len(states)])
    if any(one.shape != two.shape for one, two in zip(states, carried, strict=True)):
        # Sizes change from one turn to the next: look again with those sizes unknown.
        inner = graph_types(body, [counter, condition, *carried])
        carried = _merge("loop", carried, inner[1 : 1 + len(states)])
    scans = [
        each.with_shape(None if each.shape is None else (fresh("turns"), *each.shape))
        for each in inner[1 + len(states) :]
    ]
    return [*carried, *scans]


def _run_loop(limit: Array, condition: Array, *states: Array, body: Graph) -> list[Array]:
    count = int(limit.reshape(-1)[0])
    current = list(states)
    stacks: list[list[Array]] = [[] for _ in range(len(body.outputs) - 1 - len(states))]
    turn = 0
    while turn < count and _true(condition):
        results = body([np.array(turn, _INT), condition, *current])
        condition, current = results[0], results[1 : 1 + len(states)]
        for stack, value in zip(stacks, results[1 + len(states) :], strict=True):
            stack.append(value)
        turn += 1
    scans = [
        np.stack(stack) if stack else _empty_stack(body, index + 1 + len(states))
        for index, stack in enumerate(stacks)
    ]
    return [*current, *scans]


def _empty_stack(body: Graph, output: int) -> Array:
    type = body.outputs[output].type
    sizes = tuple(size if isinstance(size, int) else 0 for size in type.shape or ())
    return np.zeros((0, *sizes), type.dtype)


_COUNTER = TensorType((), _INT)
_ACCUMULATE = trace(
    lambda turn, go, total: [go, add(total, 1.0), multiply(total, 2.0)],
    [_COUNTER, TensorType((), _BOOL), _FLOATS],
)


def _loop_oracle(limit: Any, go: Any, total: Any, **_: Any) -> list[Any]:
    turns = [total + np.float32(turn) for turn in range(int(limit) if go else 0)]
    scans = np.stack([2 * each for each in turns]) if turns else np.zeros((0, 3), np.float32)
    return [total + np.float32(len(turns)), scans]


loop = OpSpec(
    "loop",
    ("limit", "condition", "states*"),
    _infer_loop,
    _run_loop,
    "control",
    attributes={"body": REQUIRED},
    codec=Codec("While", handled=True),
    samples=(
        Sample((3, True, normal(3)), {"body": _ACCUMULATE}, oracle=_loop_oracle),
        Sample((0, True, normal(3)), {"body": _ACCUMULATE}, oracle=_loop_oracle),
        Sample((5, False, normal(3)), {"body": _ACCUMULATE}, oracle=_loop_oracle),
    ),
    bad=(BadCall("state count", (3, True), ShapeError, {"body": _ACCUMULATE}),),
    doc="final states, then each per-turn result stacked, of a body run while turn < limit and "
    "its condition is > 0",
)


# --- conditional loops ---------------------------------------------------------------------------


def _infer_while(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> list[TensorType]:
    condition, body = attributes["condition"], attributes["body"]
    for graph in (condition, body):
        _check_count("while_loop", graph, len(types))
    _check_condition("while_loop", graph_types(condition, types)[0])
    carried = _merge("while_loop", types, graph_types(body, types))
    if any(one.shape != two.shape for one, two in zip(types, carried, strict=True)):
        carried = _merge("while_loop", carried, graph_types(body, carried))
    return carried


def _run_while(*states: Array, condition: Graph, body: Graph) -> list[Array]:
    current = list(states)
    while _true(condition(current)[0]):
        current = body(current)
    return current


_INTEGER = TensorType((), _INT)
_BELOW_TEN = trace(lambda n: [less(n, 10)], [_INTEGER])
_PLUS_THREE = trace(lambda n: [add(n, 3)], [_INTEGER])

while_loop = OpSpec(
    "while_loop",
    ("states*",),
    _infer_while,
    _run_while,
    "control",
    attributes={"condition": REQUIRED, "body": REQUIRED},
    codec=Codec("While", handled=True),
    samples=(
        Sample(
            (np.array(1, np.int32),),
            {"condition": _BELOW_TEN, "body": _PLUS_THREE},
            oracle=lambda n, **_: np.array(10, np.int32),
        ),
        Sample(
            (np.array(50, np.int32),),
            {"condition": _BELOW_TEN, "body": _PLUS_THREE},
            oracle=lambda n, **_: n,
        ),
    ),
    bad=(
        BadCall(
            "state count",
            (integers(), integers()),
            ShapeError,
            {"condition": _BELOW_TEN, "body": _PLUS_THREE},
        ),
    ),
    doc="states after running a body while a condition graph's first element is > 0",
)
