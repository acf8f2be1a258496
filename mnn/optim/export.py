"""Training graphs as files: one step, with what it changes as named inputs and outputs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mnn.errors import DTypeError, ShapeError
from mnn.expr.node import walk
from mnn.expr.var import Var, capture
from mnn.format.files import save
from mnn.optim.optimizer import same_count, vars_of

if TYPE_CHECKING:
    from mnn.optim.optimizer import Optimizer

__all__ = ["save_training_graph", "update_graph"]


def update_graph(
    optimizer: Optimizer,
    params: Sequence[Var],
    grads: Sequence[Var],
    learning_rates: Sequence[Var],
) -> tuple[list[Var], list[Var]]:
    """Return stored values and what they become; see `Optimizer.get_update_graph`."""
    params, grads = vars_of("get_update_graph", params), vars_of("get_update_graph", grads)
    rates = vars_of("get_update_graph", learning_rates)
    same_count("get_update_graph", params=params, grads=grads)
    if len(rates) not in (1, len(params)):
        raise ShapeError(
            f"get_update_graph: found {len(rates)} learning rates for {len(params)} parameters. "
            "Expected one, or one for each."
        )
    if any(each.size != 1 for each in rates):
        raise ShapeError("get_update_graph: a learning rate has several elements, expected one.")
    return optimizer._next_values(params, grads, rates)


def save_training_graph(
    file: str | os.PathLike[str],
    outputs: Sequence[Var],
    params: Sequence[Var],
    updates: Sequence[Var],
) -> bool:
    """Write one training step as a `.mnn` file.

    The file's outputs are `outputs` and then `updates`. Its tensors of the names of `params` hold
    the initial values; naming them as inputs of `load_module_from_file` makes a module that takes
    data and stored values and returns losses and new stored values. Vars without a name get one:
    `stored0`, `stored1` ... and `<name>_next`; the outputs `output0`, `output1` ...

    Args:
        file: path.
        outputs: what else to compute, such as the loss.
        params, updates: from `Optimizer.get_update_graph`.

    Returns:
        True.

    Raises:
        DTypeError: something else than lists of Vars.    ShapeError: counts differ.
        UnsupportedError: an operator of the backward pass has no form in the file; all are named.
        OSError: the file cannot be written.
    """
    outputs, params = vars_of("save_graph", outputs), vars_of("save_graph", params)
    updates = vars_of("save_graph", updates)
    same_count("save_graph", params=params, updates=updates)
    if not params:
        raise DTypeError("save_graph: found no parameters, expected at least one.")
    _name(outputs, params, updates)
    save([*outputs, *updates], file)
    return True


def _name(outputs: Sequence[Var], params: Sequence[Var], updates: Sequence[Var]) -> None:
    """Give a name to each Var that has none, or one that another tensor has."""
    taken = {
        name
        for node in walk([capture(each) for each in (*outputs, *updates)])
        if node.operation is not None or node.kind == "Input"
        for name in node.names.values()
    }
    for position, (param, update) in enumerate(zip(params, updates, strict=True)):
        param.name = _free(param.name or f"stored{position}", taken)
        update.name = _free(f"{param.name}_next", taken)
    for position, output in enumerate(outputs):
        output.name = output.name or _free(f"output{position}", taken)


def _free(name: str, taken: set[str]) -> str:
    chosen, number = name, 1
    while chosen in taken:
        chosen, number = f"{name}_{number}", number + 1
    taken.add(chosen)
    return chosen
