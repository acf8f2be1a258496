"""Patterns of a flow that a template of their own computes.

Attention is found in the form in which graphs say it: a product of queries and keys, elementwise
steps (a factor, masks), softmax along the last axis, and a product with values. Its rows of scores
are then never stored; see `mnn.codegen.templates.attention`.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from mnn.codegen.program import Program, Step, constant_step
from mnn.compile.flow import Flow, Value
from mnn.records import dataclass

__all__ = ["LEAST_ROWS", "find_patterns", "score_program"]

LEAST_ROWS = 8
"""Queries from which on attention in one kernel is faster than its parts."""
_STEP_LIMIT = 16
_OPERAND_LIMIT = 4


def find_patterns(flow: Flow) -> None:
    """Turn values of a flow into those of templates that compute more at once.

    Only where nothing else needs what lies between, and nothing that lies between is an output.
    """
    uses: dict[Value, int] | None = None
    for value in flow.values:
        if value.kind != "matmul" or len(value.inputs) != 2:
            continue
        found = _attention(value)
        if found is None:
            continue
        if uses is None:
            uses = _uses(flow)
        if _used_by(found.between, value) == {each: uses.get(each) for each in found.between}:
            attributes = {
                "program": found.program,
                "batch": found.batch,
                "causal": False,
                "zero": False,
            }
            flow.become(value, "attention", found.inputs, attributes)


def _uses(flow: Flow) -> dict[Value, int]:
    """Return how often each value is used by outputs and by what they need."""
    found = dict.fromkeys(flow.outputs, 1)
    for value in reversed(flow.values):
        if value in found:
            for each in value.inputs:
                found[each] = found.get(each, 0) + 1
    return found


def _used_by(between: Collection[Value], root: Value) -> dict[Value, int]:
    """Return how often each value between is used by others of them and by the root."""
    found = dict.fromkeys(between, 0)
    for value in (*between, root):
        for each in value.inputs:
            if each in found:
                found[each] += 1
    return found


@dataclass(frozen=True)
class _Attention:
    """A match.

    Attributes:
        inputs: queries, keys as the right operand of a product, values, operands of the program.
        program: from a product of queries and keys to a score.
        batch: shape of the batch of these products.
        between: values that are no longer needed.
    """

    inputs: tuple[Value, ...]
    program: Program
    batch: tuple[int, ...]
    between: tuple[Value, ...]


def _attention(root: Value) -> _Attention | None:
    """Return the attention that a product is, None when it is none."""
    weights, values = root.inputs
    if root.dtype != np.float32 or weights.shape[-2] < LEAST_ROWS or root.size == 0:
        return None
    between = []
    while weights.kind == "reshape" and _same_rows(weights, weights.inputs[0]):
        between.append(weights)
        weights = weights.inputs[0]
    softmax = _softmax(weights)
    if softmax is None:
        return None
    scores, steps = softmax
    product, spine = _spine(scores)
    if product is None or product.shape[-2:] != weights.shape[-2:]:
        return None
    batch = product.shape[:-2]
    if math.prod(batch) != math.prod(root.shape[:-2]):
        return None
    if batch != root.shape[:-2] != values.shape[:-2]:
        return None
    found = score_program(product, scores, spine)
    if found is None:
        return None
    program, operands = found
    inputs = (*product.inputs, values, *operands)
    return _Attention(inputs, program, batch, tuple({*between, *steps, *spine, product}))


def _same_rows(one: Value, two: Value) -> bool:
    return len(one.shape) > 1 and len(two.shape) > 1 and one.shape[-2:] == two.shape[-2:]


def _softmax(value: Value) -> tuple[Value, list[Value]] | None:
    """Return what `value` is the softmax of, along the last axis, and the steps between."""
    if not _is_map(value, "divide"):
        return None
    powers, total = value.inputs
    if not _is_map(powers, "exp") or not _is_reduction(total, "sum", powers):
        return None
    shifted = powers.inputs[0]
    if not _is_map(shifted, "subtract"):
        return None
    x, shift = shifted.inputs
    steps = [value, powers, total, shifted]
    top = shift
    if _is_map(shift, "select"):
        finite, top, nothing = shift.inputs
        zero = nothing.array is not None and nothing.size == 1 and not nothing.array.any()
        if not _is_map(finite, "isfinite") or finite.inputs[0] is not top or not zero:
            return None
        steps += [shift, finite]
    if not _is_reduction(top, "max", x) or x.dtype != np.float32:
        return None
    return x, [*steps, top]


def _is_map(value: Value, step: str) -> bool:
    return value.kind == "map" and value.attributes["step"] == step


def _is_reduction(value: Value, name: str, source: Value) -> bool:
    return (
        value.kind == "reduce"
        and value.attributes["name"] == name
        and value.attributes["axes"] == (len(source.shape) - 1,)
        and value.inputs[0] is source
        and value.dtype == source.dtype
    )


def _spine(scores: Value) -> tuple[Value | None, list[Value]]:
    """Return the product that scores are made of, and the steps from it to them, in order."""
    product: Value | None = None
    seen, waiting = {scores}, [scores]
    while waiting and len(seen) <= 4 * _STEP_LIMIT:
        value = waiting.pop()
        if value.kind == "matmul" and len(value.inputs) == 2 and value.dtype == np.float32:
            if product is None or value.number > product.number:
                product = value
        elif _is_step(value):
            fresh = [each for each in value.inputs if each not in seen]
            seen.update(fresh)
            waiting += fresh
    if product is None:
        return None, []
    above = {product}
    for value in sorted(seen, key=lambda each: each.number):
        if _is_step(value) and any(each in above for each in value.inputs):
            above.add(value)
    return product, sorted(above - {product}, key=lambda each: each.number)


def _is_step(value: Value) -> bool:
    return value.kind == "map" or (value.kind == "reshape" and _same_rows(value, value.inputs[0]))


def score_program(
    product: Value, scores: Value, spine: list[Value]
) -> tuple[Program, list[Value]] | None:
    """Return the program from a product to scores, and its operands.

    Args:
        spine: the values between that depend on the product, `scores` included, in order.

    Returns:
        None when there are too many steps or operands, or an operand is moved on the way.
    """
    if len(spine) > _STEP_LIMIT or scores.dtype != np.float32:
        return None
    numbers: dict[Value, int] = {product: -1}
    steps: list[Step] = []
    operands: list[Value] = []

    def number(value: Value, user: Value) -> int | None:
        if value in numbers:
            return numbers[value]
        if value.array is not None and value.size == 1:
            steps.append(constant_step(value.array.reshape(()).item(), value.dtype.name))
            numbers[value] = len(steps) - 1
            return numbers[value]
        moved = user.shape != product.shape and math.prod(value.shape[:-2]) != 1
        if moved or len(operands) == _OPERAND_LIMIT:
            return None
        # Inputs have numbers below zero until their count is known.
        operands.append(value)
        numbers[value] = -1 - len(operands)
        return numbers[value]

    for value in spine:
        if value.kind == "reshape":
            numbers[value] = numbers[value.inputs[0]]
            continue
        if value.shape[-2:] != product.shape[-2:] or value.size != product.size:
            return None
        arguments = [number(each, value) for each in value.inputs]
        if any(each is None for each in arguments):
            return None
        attributes = value.attributes
        steps.append(
            Step(
                attributes["step"],
                tuple(each for each in arguments if each is not None),
                attributes["compute"].name,
                value.dtype.name,
                attributes["parameters"],
            )
        )
        numbers[value] = len(steps) - 1
    inputs = ("float32", *(each.dtype.name for each in operands))

    def final(place: int) -> int:
        return -place - 1 if place < 0 else place + len(inputs)

    shifted = tuple(
        Step(
            each.name,
            tuple(final(place) for place in each.arguments),
            each.compute,
            each.result,
            each.attributes,
        )
        for each in steps
    )
    return Program(inputs, shifted, (final(numbers[scores]),)), operands
