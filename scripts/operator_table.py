"""Write docs/operators.md from the operator declarations (`--check`: fail if it is out of date)."""

from __future__ import annotations

import sys
from pathlib import Path

import mnn  # noqa: F401 - declares the operators
from mnn.ops.spec import OpSpec, all_specs

TARGET = Path(__file__).resolve().parent.parent / "docs" / "operators.md"

HEADER = """# Operators

Generated from the declarations by `python scripts/operator_table.py`; do not edit.

Columns: *gradient*: a rule exists (`zero`: defined as zero); *kernel body*: a scalar meaning for
compiled kernels exists; *.mnn*: operator type in model files (reading and writing); *ONNX*:
operator of the same meaning; *samples* and *refused*: calls in the every-operator tests.
"""


def row(spec: OpSpec) -> str:
    """Return the table row of an operator."""
    codec = spec.codec.op_type if spec.codec is not None else ""
    if spec.codec is not None and spec.codec.op_name != codec:
        codec += f" {spec.codec.op_name}"
    doc = spec.doc.replace("|", "\\|")
    return (
        f"| `{spec.name}` | {doc} | {'yes' if spec.grad else 'no'} "
        f"| {'yes' if spec.body else ''} | "
        f"{codec} | {spec.onnx or ''} | {len(spec.samples)} | {len(spec.bad)} |"
    )


def table() -> str:
    """Return the whole document."""
    specs = all_specs()
    lines = [HEADER, f"{len(specs)} operators.\n"]
    for family in sorted({spec.family for spec in specs}):
        lines.append(f"\n## {family}\n")
        lines.append(
            "| operator | returns | gradient | kernel body | .mnn | ONNX | samples | refused |"
        )
        lines.append("|---|---|---|---|---|---|---|---|")
        lines.extend(
            row(spec) for spec in sorted(specs, key=lambda each: each.name) if spec.family == family
        )
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
