"""Files as plain data: a summary for people, and whole tables for tools."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from mnn.errors import FormatError
from mnn.format.limits import LIMITS
from mnn.format.reader import Table
from mnn.format.schema import schema

__all__ = ["describe_net", "metadata", "to_plain"]


def to_plain(table: Table) -> dict[str, Any]:
    """Return a table and everything below it as nested dicts, lists and arrays.

    Raises:
        FormatError: tables are shared so often that the result would exceed the limits.
    """
    budget = [LIMITS.tables]
    return _plain(table, budget, 0)


def _plain(table: Table, budget: list[int], depth: int) -> dict[str, Any]:
    budget[0] -= 1
    if budget[0] < 0 or depth > LIMITS.depth:
        raise FormatError("the file's tables are nested or shared too often to be listed.")
    result: dict[str, Any] = {}
    for name in table.fields():
        value = getattr(table, name)
        if isinstance(value, Table):
            if table._schema.by_name[name].kind == "union":
                result[f"{name}_type"] = getattr(table, f"{name}_type")
            result[name] = _plain(value, budget, depth + 1)
        elif isinstance(value, list) and value and isinstance(value[0], Table):
            result[name] = [_plain(each, budget, depth + 1) for each in value]
        elif value is not None:
            result[name] = value
    return result


def metadata(net: Table) -> dict[str, str]:
    """Return the metadata entries of a model, such as ONNX metadata_props."""
    from mnn.format.verify import verify_table

    info = net.extraInfo
    if info is None or info.buffer is None or not len(info.buffer):
        return {}
    data = memoryview(np.ascontiguousarray(info.buffer).view(np.uint8).tobytes())
    try:
        root = verify_table(data, "Extra")
    except FormatError:
        return {}
    extra = Table(data, root, schema().tables["Extra"])
    return {str(each.key): str(each.s or "") for each in extra.attr or [] if each.key}


def describe_net(net: Table) -> dict[str, Any]:
    """Return a summary of a model: inputs, outputs, operators, version, tags, sizes."""
    names = net.tensorName or []
    types = schema().enums
    op_names = types["OpType"].by_value
    inputs = []
    operators: Counter[str] = Counter()
    for op in net.oplists or []:
        kind = op_names.get(op.type, f"number {op.type}")
        operators[kind] += 1
        if kind == "Input" and op.outputIndexes is not None and len(op.outputIndexes):
            index = int(op.outputIndexes[0])
            main = op.main
            inputs.append(
                {
                    "name": names[index] if 0 <= index < len(names) else "",
                    "shape": [] if main is None or main.dims is None else main.dims.tolist(),
                    "type": types["DataType"].by_value.get(getattr(main, "dtype", 1), "?"),
                    "format": types["MNN_DATA_FORMAT"].by_value.get(
                        getattr(main, "dformat", 2), "?"
                    ),
                }
            )
    source = types["NetSource"].by_value.get(net.sourceType, "?")
    version = net.extraInfo.version if net.extraInfo is not None else None
    return {
        "inputs": inputs,
        "outputs": output_names(net),
        "operators": dict(operators.most_common()),
        "subgraphs": [each.name for each in net.subgraphs or []],
        "version": version or "< 2.0.0",
        "source": source,
        "format": "NHWC" if source in ("TENSORFLOW", "TFLITE") else "NCHW",
        "bizCode": net.bizCode or "",
        "uuid": net.mnn_uuid or "",
        "usage": types["Usage"].by_value.get(net.usage, "?"),
        "quantised_tensors": sum(
            1 for each in net.extraTensorDescribe or [] if each.quantInfo is not None
        ),
        "metadata": metadata(net),
    }


def output_names(net: Table) -> list[str]:
    """Return the graph outputs: the stored list, else every tensor produced but not consumed."""
    declared = [name for name in net.outputName or [] if name]
    if declared:
        return declared
    names = net.tensorName or []
    consumed: set[int] = set()
    produced: set[int] = set()
    for op in net.oplists or []:
        consumed.update(() if op.inputIndexes is None else op.inputIndexes.tolist())
        if schema().enums["OpType"].by_value.get(op.type) != "Input":
            produced.update(() if op.outputIndexes is None else op.outputIndexes.tolist())
    return [names[each] for each in sorted(produced - consumed) if 0 <= each < len(names)]
