"""Modules loaded from `.mnn` files, or cut out of recorded graphs."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, FormatError, GraphError, ModelInputError, ShapeError
from mnn.expr.enums import Backend, MemoryMode, PowerMode, PrecisionMode
from mnn.expr.evaluate import run_graph
from mnn.expr.graph import Graph, rebuild
from mnn.expr.modes import should_record
from mnn.expr.node import CONST, TRAINABLE, Node, Ref, leaf, walk
from mnn.expr.symbols import Symbol, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture, var_of
from mnn.nn.module import Module
from mnn.nn.remembered import KnownFiles, Recalled
from mnn.nn.runtime import RuntimeConfig, RuntimeManager, create_runtime_manager
from mnn.ops.convert import convert, relabel
from mnn.ops.operands import array_of
from mnn.records import replace

__all__ = ["LoadedModule", "load_module", "load_module_from_file"]

Array = np.ndarray[Any, Any]
_DEFAULT = RuntimeConfig()


class LoadedModule(Module):
    """A graph with named inputs and outputs, callable like any module."""

    def __init__(
        self,
        graph: Graph,
        input_names: Sequence[str],
        output_names: Sequence[str],
        *,
        info: dict[str, Any] | None = None,
        shape_mutable: bool = True,
        runtime: RuntimeManager | None = None,
    ) -> None:
        super().__init__()
        self._graph = graph
        self._input_names = list(input_names)
        self._output_names = list(output_names)
        self._info = dict(info or {})
        self._shape_mutable = shape_mutable
        self._runtime = runtime
        if graph.trainable:
            for number, node in enumerate(walk(graph.outputs)):
                if node.kind == TRAINABLE:
                    self._own[f"parameter{number}"] = var_of(Ref(node, 0))

    def forward(self, *inputs: Any) -> Any:
        """Return the outputs.

        Args:
            inputs: one Var or array per input, or one list of them; in the layout their
                `data_format` names (arrays are taken in the layout the model declares).

        Returns:
            A Var when a single input was given as such and there is one output; else a list.

        Raises:
            ModelInputError: another number of inputs, or a rank, size or dtype that does not fit.
        """
        single = len(inputs) == 1 and not isinstance(inputs[0], (list, tuple))
        values = list(inputs[0]) if len(inputs) == 1 and not single else list(inputs)
        if len(inputs) == 1 and not single and len(self._graph.inputs) == 1 and _is_data(values):
            single, values = True, [inputs[0]]
        results = self._run(values)
        if len(results) == 1 and (single or len(inputs) > 1):
            return results[0]
        return results

    def onForward(self, inputs: Sequence[Any]) -> list[Var]:  # noqa: N802
        """Return the outputs for a list of inputs as a list."""
        if not isinstance(inputs, (list, tuple)):
            raise ModelInputError(
                f"onForward: found {type(inputs).__name__}, expected a list of inputs. "
                "Use forward for a single one."
            )
        return self._run(list(inputs))

    def _run(self, values: Sequence[Any]) -> list[Var]:
        nodes = self._graph.inputs
        if len(values) != len(nodes):
            raise ModelInputError(
                f"forward: found {len(values)} inputs, expected {len(nodes)}: "
                f"{', '.join(self._input_names) or 'none'}."
            )
        fitted = [
            self._fitted(value, node, name)
            for value, node, name in zip(values, nodes, self._input_names, strict=True)
        ]
        try:
            return self._results(fitted)
        except ShapeError as error:
            raise ModelInputError(self._unfitting(fitted, error)) from error

    def _results(self, fitted: Sequence[Var]) -> list[Var]:
        if should_record() or any(_tracked(each) for each in fitted) or self._trainable():
            refs = self._graph.record([capture(each) for each in fitted])
            return [var_of(ref) for ref in refs]
        settings = _DEFAULT if self._runtime is None else self._runtime.configs[0]
        arrays = run_graph(
            self._graph,
            [each._array() for each in fitted],
            threads=settings.threads,
            precision=settings.precision.name.lower(),
        )
        return [
            Var(_own(array), format)
            for array, format in zip(arrays, self._graph.formats, strict=True)
        ]

    def _unfitting(self, fitted: Sequence[Var], error: ShapeError) -> str:
        """Return the message for sizes that the model's own operators do not accept."""
        pairs = [
            f"{name} {list(each.shape)} (declared "
            f"{'any' if node.types[0].shape is None else list(shape_numbers(node.types[0].shape))})"
            for name, each, node in zip(self._input_names, fitted, self._graph.inputs, strict=True)
        ]
        return (
            f"forward: the model does not work with inputs {', '.join(pairs)}: {error} Give the "
            "declared sizes."
        )

    def _trainable(self) -> bool:
        return self._graph.trainable

    def _fitted(self, value: Any, node: Node, name: str) -> Var:
        declared = node.types[0]
        if isinstance(value, Var):
            var = value
            if var.ndim > 2 and var.data_format.channel_last != declared.format.channel_last:
                # A reshaped picture keeps its tag while its axes already are what the model asks
                # for: only data that does not fit as it is moves its axes.
                moved = convert(var, declared.format)
                fits = _misfit(moved, declared) and not _misfit(var, declared)
                var = relabel(var, declared.format) if fits else moved
        else:
            var = Var(array_of(value, f"input {name!r}"), declared.format)
        _check_dtype(var, declared, name)
        if var.dtype != declared.dtype:
            from mnn.ops.convert import cast

            var = cast(var, declared.dtype)
        _check_shape(var, declared, name, exact=not self._shape_mutable)
        if var.data_format != declared.format:
            var = convert(var, declared.format)
        return var

    def get_info(self) -> dict[str, Any]:
        """Return version, bizCode, inputNames, outputNames and placeholders like the inputs."""
        inputs = []
        for node in self._graph.inputs:
            from mnn.expr.trace import input_leaf

            inputs.append(var_of(Ref(input_leaf(node.types[0], node.names.get(0, "")), 0)))
        return {
            "version": self._info.get("version", ""),
            "bizCode": self._info.get("bizCode", ""),
            "inputNames": list(self._input_names),
            "outputNames": list(self._output_names),
            "inputs": inputs,
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> LoadedModule:
        """Return a copy; constants are shared (nobody writes them), trained values are not."""
        graph = self._graph
        if graph.trainable:
            replacements = {
                node: [Ref(_copied(node), 0)]
                for node in walk(graph.outputs)
                if node.kind == TRAINABLE
            }
            graph = Graph(graph.inputs, rebuild(graph.outputs, replacements))
        twin = LoadedModule(
            graph,
            self._input_names,
            self._output_names,
            info=copy.deepcopy(self._info, memo),
            shape_mutable=self._shape_mutable,
            runtime=self._runtime,
        )
        twin.set_name(self.name)
        twin.train(self.is_training)
        return twin

    def __repr__(self) -> str:
        inputs, outputs = ", ".join(self._input_names), ", ".join(self._output_names)
        return f"LoadedModule({inputs} -> {outputs})"


def _own(array: Array) -> Array:
    """Return an array the caller may keep: constants of the graph are not handed out."""
    return array if array.flags.writeable else array.copy()


def _is_data(values: Sequence[Any]) -> bool:
    return bool(values) and not any(isinstance(each, (Var, np.ndarray)) for each in values)


def _tracked(var: Var) -> bool:
    return var._ref is not None and var._ref.node.trainable


def _copied(node: Node) -> Node:
    from mnn.expr.node import Cell

    cell = node.cell
    array = None if cell is None or cell.array is None else cell.array.copy()
    twin = leaf(TRAINABLE, node.types[0], Cell(array))
    twin.names.update(node.names)
    return twin


def _check_dtype(var: Var, declared: TensorType, name: str) -> None:
    if var.dtype == declared.dtype:
        return
    kinds = {"f": "biuf", "i": "biu", "u": "biu"}
    if var.dtype.kind not in kinds.get(declared.dtype.kind, ""):
        raise ModelInputError(
            f"input {name!r}: found {var.dtype}, expected {declared.dtype}. Convert with astype."
        )


def _check_shape(var: Var, declared: TensorType, name: str, *, exact: bool) -> None:
    if problem := _misfit(var, declared, exact=exact):
        raise ModelInputError(f"input {name!r}: {problem}")


def _misfit(var: Var, declared: TensorType, *, exact: bool = False) -> str:
    """Return in which way a shape differs from the declared one, "" when it fits."""
    if declared.shape is None or not declared.shape:
        return ""
    found, wanted = var.shape, shape_numbers(declared.shape)
    described = f"found shape {list(found)}, expected {list(wanted)}"
    if len(found) != len(wanted):
        return f"{described} (-1: any size). Check the number of dimensions."
    channel = declared.channel_axis
    for axis, (got, size) in enumerate(zip(found, declared.shape, strict=True)):
        if isinstance(size, Symbol) or got == size or got == -1:
            continue
        if exact or (axis == channel and len(wanted) > 2):
            return (
                f"{described} ({declared.format.name}): size {got} on axis {axis}. "
                f"{_advice(found, declared)}"
            )
    return ""


def _advice(found: Sequence[int], declared: TensorType) -> str:
    """Return what to try when sizes differ: name the other layout where the sizes tell it."""
    channel = declared.channel_axis
    other = 1 if declared.format.channel_last else len(found) - 1
    if len(found) > 2 and found[other] == (declared.shape or ())[channel]:
        layout = "NCHW" if declared.format.channel_last else "NHWC"
        return f"The data looks like {layout}: make it with const(data, shape, {layout})."
    return "Check the layout and the channels."


# --- loading -------------------------------------------------------------------------------------


def load_module_from_file(
    file: str | os.PathLike[str],
    input_names: Sequence[str],
    output_names: Sequence[str],
    *,
    runtime_manager: RuntimeManager | None = None,
    dynamic: bool = False,
    shape_mutable: bool = True,
    rearrange: bool = False,
    backend: int = Backend.CPU,
    memory_mode: int = MemoryMode.Normal,
    power_mode: int = PowerMode.Normal,
    precision_mode: int = PrecisionMode.Normal,
    thread_num: int | None = None,
) -> LoadedModule:
    """Return a model as a callable module.

    Args:
        file: path of a `.mnn` file.
        input_names: tensors to feed, in call order; may be inner ones. Empty: all inputs.
        output_names: tensors to return. Empty: all outputs.
        runtime_manager: settings from `create_runtime_manager`; replaces the ones below.
        dynamic, rearrange: accepted for compatibility; they never change results.
        shape_mutable: False: inputs must have exactly the declared shapes.
        backend, memory_mode, power_mode, precision_mode, thread_num: settings; the default number
            of threads is that of `mnn.config`.

    Raises:
        OSError: the file cannot be read.
        FormatError: it is damaged, or a name is not in it.
        DTypeError: the file is no path, names are no lists of str, or the manager is something
            else.
        SettingError: a setting has an unknown name or value.
        UnsupportedError: the outputs need operators that are not supported; all are named.
    """
    runtime = _runtime(
        runtime_manager, backend, memory_mode, power_mode, precision_mode, thread_num
    )
    input_names = _name_list("input_names", input_names)
    output_names = _name_list("output_names", output_names)
    found = _found(file, runtime.external_path, input_names, output_names)
    return LoadedModule(
        found.graph,
        found.inputs,
        found.outputs,
        info=found.info,
        shape_mutable=shape_mutable,
        runtime=runtime,
    )


def _found(
    file: Any, external: str, input_names: Sequence[str], output_names: Sequence[str]
) -> Recalled:
    """Return the part of a model between tensors, from earlier processes or from the file."""
    path = os.fspath(file) if isinstance(file, (str, os.PathLike)) else file
    known = KnownFiles(path, external or f"{path}.weight") if isinstance(path, str) else None
    if known is not None:
        recalled = known.recall(input_names, output_names)
        if recalled is not None:
            return recalled
    from mnn.format.model import load_model

    model = load_model(path, external_path=external or None)
    graph, inputs, outputs = model.select(input_names, output_names)
    info = {"version": model.version, "bizCode": model.biz_code}
    found = Recalled(graph, inputs, outputs, info)
    if known is not None:
        graph = known.remember(input_names, output_names, found, model.files)
    return replace(found, graph=graph)


def _runtime(
    manager: Any, backend: Any, memory: Any, power: Any, precision: Any, threads: Any
) -> RuntimeManager:
    """Return the manager that was given, or one of the single settings."""
    if manager is None:
        settings = {
            "backend": backend,
            "memory": memory,
            "power": power,
            "precision": precision,
        }
        if threads is not None:
            settings["numThread"] = threads
        return create_runtime_manager([settings])
    if not isinstance(manager, RuntimeManager):
        raise DTypeError(
            f"load_module_from_file: runtime_manager is {type(manager).__name__}, expected the "
            "result of create_runtime_manager(({...},))."
        )
    return manager


def _name_list(what: str, names: Any) -> list[str]:
    """Return names as a list; None and empty lists mean all."""
    names = [] if names is None else names
    if not isinstance(names, (list, tuple)) or not all(isinstance(each, str) for each in names):
        raise DTypeError(
            f"load_module_from_file: {what} is {names!r}, expected a list of names such as "
            '["data"]. An empty list means all.'
        )
    if what == "input_names" and len(set(names)) != len(names):
        raise FormatError(
            f"load_module_from_file: {what} {list(names)} names an input twice. Name each once."
        )
    return list(names)


def load_module(
    inputs: Sequence[Var], outputs: Sequence[Var], for_training: bool = False
) -> LoadedModule:
    """Return a part of a recorded graph as a module.

    Args:
        inputs: where the part begins.    outputs: where it ends.
        for_training: turn its float constants of one or more dimensions into trainable parameters.

    Raises:
        DTypeError: inputs or outputs are no lists of Vars.
        GraphError: there are no outputs, or none of the inputs leads to them.
    """
    inputs, outputs = _var_list("inputs", inputs), _var_list("outputs", outputs)
    if not outputs:
        raise GraphError(
            "load_module: found no outputs, expected at least one Var to compute. Take them from "
            "expr.load_as_dict or a recorded graph."
        )
    refs = [capture(each) for each in outputs]
    replacements: dict[Node, list[Ref]] = {}
    leaves: list[Node] = []
    from mnn.expr.trace import input_leaf

    for var in inputs:
        ref = capture(var)
        node = input_leaf(ref.type, var.name)
        leaves.append(node)
        held = replacements.get(ref.node) or [
            Ref(ref.node, port) for port in range(len(ref.node.types))
        ]
        held[ref.port] = Ref(node, 0)
        replacements[ref.node] = held
    if inputs and not any(node in replacements for node in walk(refs)):
        raise GraphError(
            "load_module: the outputs do not depend on any of the inputs. Expected parts of one "
            "recorded graph. Results of eager mode hold none: record after expr.lazy_eval(True)."
        )
    if for_training:
        for node in walk(refs):
            if node.kind == CONST and node not in replacements and _is_weight(node):
                replacements[node] = [Ref(_trained(node), 0)]
    graph = Graph(leaves, rebuild(refs, replacements, unique=True))
    return LoadedModule(
        graph,
        [each.name or f"input{number}" for number, each in enumerate(inputs)],
        [each.name or f"output{number}" for number, each in enumerate(outputs)],
    )


def _var_list(what: str, values: Any) -> list[Var]:
    if isinstance(values, Var):
        return [values]
    if not isinstance(values, (list, tuple)) or not all(isinstance(each, Var) for each in values):
        raise DTypeError(
            f"load_module: {what} is {type(values).__name__}, expected a list of Vars only. Take "
            "them from expr.load_as_dict or a recorded graph."
        )
    return list(values)


def _is_weight(node: Node) -> bool:
    kind = node.types[0]
    return kind.dtype.kind == "f" and bool(kind.shape)


def _trained(node: Node) -> Node:
    from mnn.expr.node import Cell

    array = None if node.cell is None or node.cell.array is None else node.cell.array.copy()
    kind = TensorType(node.types[0].shape, node.types[0].dtype, node.types[0].format)
    twin = leaf(TRAINABLE, kind, Cell(array))
    twin.names.update(node.names)
    return twin
