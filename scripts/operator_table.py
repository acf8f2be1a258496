"""Write docs/operators.md from the operator declarations (`--check`: fail if it is out of date).

python -m scripts.operator_table
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import mnn.compile.importers  # noqa: F401 - registers the importers
from mnn.compile.importing import _importers
from mnn.config import config
from mnn.errors import MnnError
from mnn.expr.grad import GradCall
from mnn.expr.var import Var
from mnn.format.encode import can_encode
from mnn.ops.elementwise import Elementwise, unify_operands
from mnn.ops.spec import REQUIRED, OpSpec, Sample, all_specs

TARGET = Path(__file__).resolve().parent.parent / "docs" / "operators.md"

HEADER = """# Operators

Generated from the declarations by `python -m scripts.operator_table`; do not edit.

* *operator*: operands and attributes as in a call; `?` marks what may be left out, `*` any number;
  attributes go by name.
* *types*: element types of the first array that a call accepts: **b**ool, **i**nteger (signed),
  **u**nsigned, **f**loat, **c**omplex.
* *gradient*: *yes*: a rule, checked against finite differences; *zero*: zero everywhere; *no*:
  asking for it raises `GradientError`.
* *.mnn*: operator type in model files; *composed*: written with several of them; *no*: a graph
  with it cannot be saved.
* *ONNX*: operator of the same meaning.
* *kernel*: *body*: compiled from its scalar meaning; *importer*: compiled by a rule of
  `mnn/compile/importers`; none: NumPy computes it, between runs of machine code.
* *samples*, *refused*: calls in the every-operator tests; some wrong calls are tested on all.
"""

COLUMNS = (
    "operator",
    "returns",
    "types",
    "gradient",
    ".mnn",
    "ONNX",
    "kernel",
    "samples",
    "refused",
)

_KINDS = {"b": np.bool_, "i": np.int32, "u": np.uint8, "f": np.float32, "c": np.complex64}


def operands_of(spec: OpSpec, sample: Sample) -> list[Var | None]:
    """Return a sample's operands as an ordinary call makes them."""
    inputs = [Var(each.copy()) if isinstance(each, np.ndarray) else each for each in sample.inputs]
    if isinstance(spec, Elementwise):
        return list(unify_operands(spec.name, inputs, exact=spec.exact_scalars))
    return spec._operands(inputs)


def gradient_is_zero(spec: OpSpec) -> bool:
    """Return whether a gradient rule answers "zero" for every operand of every sample."""
    assert spec.grad is not None
    for sample in spec.samples:
        attributes = spec._attributes(sample.attributes)
        with config.using(lazy=True):
            operands = operands_of(spec, sample)
            found = spec.apply(operands, attributes)
            outputs = found if isinstance(found, tuple) else (found,)
            grads = tuple(
                each if each.dtype.kind in "fc" else Var(np.zeros((), np.float32))
                for each in outputs
            )
            call = GradCall(tuple(operands), tuple(outputs), grads, attributes)
            if any(each is not None for each in spec.grad(call)):
                return False
    return True


def accepted_types(spec: OpSpec) -> str:
    """Return the kinds of element types that the first array of the first sample may have."""
    if isinstance(spec, Elementwise):
        return "".join(kind for kind in _KINDS if kind in spec.rule.kinds)
    sample = spec.samples[0]
    arrays = [each for each in sample.inputs if isinstance(each, np.ndarray)]
    if not arrays:
        return ""
    return "".join(kind for kind in _KINDS if _accepts(spec, sample, arrays[0].dtype, kind))


def _accepts(spec: OpSpec, sample: Sample, dtype: np.dtype[Any], kind: str) -> bool:
    def cast(each: Any) -> Any:
        if not isinstance(each, np.ndarray) or each.dtype != dtype:
            return each
        return each if each.dtype.kind == kind else np.abs(each).astype(_KINDS[kind])

    try:
        with np.errstate(all="ignore"):
            spec(*(cast(each) for each in sample.inputs), **sample.attributes)
    except (MnnError, ValueError, TypeError):
        return False
    return True


def call_text(spec: OpSpec) -> str:
    """Return operands and attributes as a call shows them."""
    parts = list(spec.inputs)
    for name, value in spec.attributes.items():
        parts.append(name if value is REQUIRED else f"{name}={value_text(value)}")
    return f"{spec.name}({', '.join(parts)})"


def value_text(value: Any) -> str:
    """Return a default value as text that is the same everywhere."""
    if isinstance(value, np.dtype):
        return str(value.name)
    return value.name if hasattr(value, "name") else repr(value)


def gradient(spec: OpSpec) -> str:
    """Return yes, zero or no."""
    if spec.grad is None:
        return "no"
    return "zero" if gradient_is_zero(spec) else "yes"


def file_form(spec: OpSpec) -> str:
    """Return the operator type in files."""
    if not can_encode(spec):
        return "no"
    codec = spec.codec
    if codec is None:
        return "composed"
    return codec.op_type if codec.op_name == codec.op_type else f"{codec.op_type} {codec.op_name}"


def kernel(spec: OpSpec) -> str:
    """Return how the operator is compiled, empty when NumPy computes it."""
    if spec.name in _importers:
        return "importer"
    return "body" if isinstance(spec, Elementwise) and spec.body is not None else ""


def row(spec: OpSpec) -> str:
    """Return the table row of an operator."""
    cells = (
        f"`{call_text(spec)}`",
        spec.doc,
        accepted_types(spec),
        gradient(spec),
        file_form(spec),
        spec.onnx or "",
        kernel(spec),
        str(len(spec.samples)),
        str(len(spec.bad)),
    )
    return f"| {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |"


def summary(specs: Sequence[OpSpec]) -> str:
    """Return the totals."""
    slopes = [gradient(spec) for spec in specs]
    return (
        f"{len(specs)} operators: {slopes.count('yes')} with a gradient and "
        f"{slopes.count('zero')} whose gradient is zero; "
        f"{sum(can_encode(spec) for spec in specs)} with a form in `.mnn` files; "
        f"{sum(bool(spec.onnx) for spec in specs)} with an ONNX counterpart; "
        f"{sum(bool(kernel(spec)) for spec in specs)} compiled; "
        f"{sum(len(spec.samples) for spec in specs)} samples.\n"
    )


def table() -> str:
    """Return the whole document."""
    specs = sorted(all_specs(), key=lambda each: each.name)
    lines = [HEADER, summary(specs)]
    for family in sorted({spec.family for spec in specs}):
        lines.append(f"\n## {family}\n")
        lines.append(f"| {' | '.join(COLUMNS)} |")
        lines.append("|---" * len(COLUMNS) + "|")
        lines.extend(row(spec) for spec in specs if spec.family == family)
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or check the document."""
    text = table()
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
