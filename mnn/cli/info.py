"""`mnn info`: what a model file holds."""

from __future__ import annotations

import argparse
import json
from typing import Any

from mnn.cli.output import OK

__all__ = ["add_arguments", "reference_lines", "run"]

_TYPES = {
    "DT_FLOAT": "float",
    "DT_HALF": "half",
    "DT_INT8": "int8",
    "DT_INT16": "int16",
    "DT_INT32": "int32",
    "DT_UINT8": "uint8",
    "DT_UINT16": "uint16",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `mnn info`."""
    parser.add_argument("model", help="a .mnn file")
    parser.add_argument("--json", action="store_true", help="print JSON")


def describe(path: str) -> dict[str, Any]:
    """Return the summary of a model file."""
    from mnn.format.dump import describe_net
    from mnn.format.reader import read_net

    return describe_net(read_net(path))


def reference_lines(summary: dict[str, Any]) -> list[str]:
    """Return a summary in the layout of the reference package's converter."""
    lines = [f"Model default dimensionFormat is {summary['format']}", "Model Inputs:"]
    for each in summary["inputs"]:
        sizes = ",".join(str(size) for size in each["shape"])
        kind = _TYPES.get(each["type"], each["type"])
        lines.append(
            f"[ {each['name']} ]: dimensionFormat: {each['format']}, size: [ {sizes} ], "
            f"type is {kind}"
        )
    lines.append("Model Outputs:")
    lines += [f"[ {name} ]" for name in summary["outputs"]]
    lines.append(f"Model Version: {summary['version']}")
    lines += [f"{key}: {value}" for key, value in summary["metadata"].items()]
    return lines


def run(options: argparse.Namespace) -> int:
    """Run `mnn info`."""
    summary = describe(options.model)
    if options.json:
        print(json.dumps(summary, indent=2))
        return OK
    print("\n".join(reference_lines(summary)))
    operators = ", ".join(f"{name} {count}" for name, count in summary["operators"].items())
    print(f"Operators: {operators}")
    if summary["subgraphs"]:
        print(f"Bodies: {', '.join(summary['subgraphs'])}")
    if summary["quantised_tensors"]:
        print(f"Quantised tensors: {summary['quantised_tensors']}")
    if summary["bizCode"]:
        print(f"Tag: {summary['bizCode']}")
    return OK
