"""Loading and saving graphs: the functions of `mnn.expr`. The format itself is imported on use."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mnn.errors import DTypeError
from mnn.expr.node import Node
from mnn.expr.var import Var, capture, var_of

__all__ = ["get_inputs_and_outputs", "jsonop", "load_as_dict", "load_as_list", "save"]


def load_as_dict(file: str | os.PathLike[str]) -> dict[str, Var]:
    """Return every tensor of a file by name, in stored order.

    Raises:
        OSError: the file cannot be read.    FormatError: it is damaged.
    """
    from mnn.format.model import load_model

    graph = load_model(file).graph
    return {name: var_of(ref) for name, ref in graph.tensors.items()}


def load_as_list(file: str | os.PathLike[str]) -> list[Var]:
    """Return every tensor of a file in stored order; see `load_as_dict`."""
    return list(load_as_dict(file).values())


def get_inputs_and_outputs(vars: dict[str, Var]) -> tuple[dict[str, Var], dict[str, Var]]:
    """Return the inputs of a loaded dict, and what nothing else in it uses.

    Args:
        vars: from `load_as_dict`.
    """
    used: set[Node] = set()
    for var in vars.values():
        if var._ref is not None:
            used.update(ref.node for ref in var._ref.node.inputs if ref is not None)
    inputs = {name: var for name, var in vars.items() if var.op_type == "Input"}
    outputs = {
        name: var
        for name, var in vars.items()
        if var._ref is not None and not var._ref.node.is_leaf and var._ref.node not in used
    }
    return inputs, outputs


def save(vars: Sequence[Var], file: str | os.PathLike[str], forInference: int = 1) -> None:
    """Write Vars and everything they depend on to a `.mnn` file, in one step.

    Args:
        vars: recorded results, constants or parameters; names are kept.
        file: path; an old file is replaced when the new one is complete.
        forInference: accepted for compatibility; the graph is written as it is recorded.

    Raises:
        DTypeError: vars is no list of Vars, or a constant has a type files cannot hold.
        UnsupportedError: operators have no form in the file; all are named.
        OSError: the file cannot be written.
    """
    from mnn.format.encode import encode_graph
    from mnn.format.writer import build_net, write_file

    if isinstance(vars, Var):
        vars = [vars]
    if not isinstance(vars, (list, tuple)) or not all(isinstance(each, Var) for each in vars):
        raise DTypeError(f"save: found {type(vars).__name__}, expected a list of Vars.")
    if not vars:
        raise DTypeError("save: found an empty list, expected at least one Var.")
    net = encode_graph([capture(each) for each in vars], [each.name for each in vars])
    write_file(file, build_net(net))


def jsonop(inputs: Sequence[Var], describe: str, output_number: int = 1) -> list[Var]:
    """Return the results of an operator described as JSON in the terms of the file format.

    Args:
        inputs: operands.
        describe: fields of the format's `Op` table; enumerations by name or number.
        output_number: results wanted.

    Raises:
        FormatError: no JSON, or fields that the format does not have.
        UnsupportedError: an operator that is not supported.

    Example:
        >>> x = const([1.0, 2.0], [2])
        >>> text = '{"type": "UnaryOp", "main_type": "UnaryOp", "main": {"opType": "SQUARE"}}'
        >>> jsonop([x], text, 1)[0].read().tolist()
        [1.0, 4.0]
    """
    from mnn.format.described import apply_described

    return apply_described(inputs, describe, output_number)
