"""From a verified `.mnn` file to a graph: one pass over the operators, through their codecs.

Every tensor of the file becomes a `Ref`; its name is kept on the node. Operators whose attributes
map one to one onto table fields are read by their declaration (`Codec`); the others by a handler in
`mnn.format.handlers`. Operators nobody knows become opaque nodes that keep their names: a model
with such operators loads and can be inspected; using them raises one error that lists them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import FormatError, MnnError
from mnn.expr.enums import data_format
from mnn.expr.graph import Graph
from mnn.expr.modes import recording
from mnn.expr.node import Node, Ref
from mnn.expr.symbols import Dim, fresh
from mnn.expr.trace import input_leaf
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture, var_of
from mnn.format.plain import decode_plain
from mnn.format.schema import schema
from mnn.records import dataclass, field

__all__ = ["Decoder", "LoadedGraph", "OpCall", "decode_net", "decoder", "interpret"]

Handler = Callable[["OpCall"], "Var | Sequence[Var]"]

_handlers: dict[str, Handler] = {}

_FORMATS = {
    0: data_format.NCHW,
    1: data_format.NHWC,
    2: data_format.NC4HW4,
}


def decoder(*op_types: str) -> Callable[[Handler], Handler]:
    """Register a function as the reader of some operator types."""

    def register(function: Handler) -> Handler:
        for op_type in op_types:
            if op_type in _handlers:
                raise AssertionError(f"two readers for {op_type}")
            _handlers[op_type] = function
        return function

    return register


def interpret(call: OpCall) -> Var | Sequence[Var] | None:
    """Return the results of an operator, None when nobody here knows it."""
    handler = _handlers.get(call.type)
    found: Var | Sequence[Var] | None
    found = handler(call) if handler is not None else decode_plain(call)
    return found


@dataclass
class LoadedGraph:
    """A decoded model.

    Attributes:
        inputs: INPUT leaves in file order.
        outputs: results in the order of the file's rules.
        input_names, output_names: their tensor names.
        tensors: every tensor by name, in stored order of the operators that make them.
        unknown: names and types of operators that cannot run.
        net: the file's root table.
    """

    inputs: list[Node]
    outputs: list[Ref]
    input_names: list[str]
    output_names: list[str]
    tensors: dict[str, Ref]
    unknown: list[str]
    net: Any


@dataclass
class OpCall:
    """One operator of the file, as a handler sees it.

    Attributes:
        op: its table.    type: its `OpType` name.    main: its parameter table or None.
        inputs: operands, None for omitted ones.    decoder: the pass that reads the file.
    """

    op: Any
    type: str
    main: Any
    inputs: list[Var | None]
    decoder: Decoder

    @property
    def name(self) -> str:
        """Name of the operator, for messages."""
        return str(self.op.name or self.type)

    @property
    def output_count(self) -> int:
        """Number of results the file declares."""
        return len(_indices(self.op.outputIndexes))

    def input(self, index: int) -> Var:
        """Return operand `index`, which must be there."""
        if index >= len(self.inputs) or self.inputs[index] is None:
            raise FormatError(
                f"{self.name}: operator {self.type} has no operand {index}; the file is damaged."
            )
        found = self.inputs[index]
        assert found is not None
        return found

    def optional(self, index: int) -> Var | None:
        """Return operand `index`, None when it is omitted."""
        return self.inputs[index] if index < len(self.inputs) else None

    def parameters(self) -> Any:
        """Return the parameter table, which must be there."""
        if self.main is None:
            raise FormatError(
                f"{self.name}: operator {self.type} has no parameters; the file is damaged."
            )
        return self.main


def _indices(vector: Any) -> list[int]:
    return [] if vector is None else [int(each) for each in vector]


@dataclass
class Decoder:
    """One pass over the operators of a net or subgraph.

    Attributes:
        net: root table.
        external: reader of the weight file, or None.
        names: tensor names of the graph being read.
        tensors: results by tensor index.
        unknown: operators that cannot run.
        quantised: int8 steps and zeros by tensor index.
        described: shapes and regions by tensor index, in static models.
        nesting: how many bodies this one is inside.
    """

    net: Any
    external: Any = None
    names: list[str] = field(default_factory=list)
    tensors: dict[int, Ref] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    quantised: Mapping[int, Any] = field(default_factory=dict)
    described: Mapping[int, Any] = field(default_factory=dict)
    nesting: int = 0

    def subgraph(self, name: str) -> Any:
        """Return the table of subgraph `name`."""
        for each in self.net.subgraphs or []:
            if each.name == name:
                return each
        raise FormatError(f"subgraph {name!r} is missing; the file is damaged.")

    def run(self, ops: Sequence[Any]) -> None:
        """Decode operators in order."""
        types = schema().enums["OpType"].by_value
        for position, op in enumerate(ops):
            outputs = _indices(op.outputIndexes)
            if all(index in self.tensors for index in outputs) and outputs:
                continue  # an input that the caller bound, or a constant read ahead
            type_name = types.get(op.type, f"number {op.type}")
            label = op.name or f"operator {position}"
            try:
                results = self._decode(op, type_name)
            except FormatError:
                raise
            except (MnnError, TypeError, ValueError, OverflowError) as error:
                # The file calls operators the way a user does, and they refuse it the same way.
                raise FormatError(f"{label} ({type_name}): {error}") from error
            self._bind(op, label, outputs, results)

    def _decode(self, op: Any, type_name: str) -> Sequence[Ref]:
        from mnn.format.handlers.quantized import rounded, rounded_all

        inputs = [self._operand(op, index) for index in _indices(op.inputIndexes)]
        rounds = self._rounds(op, type_name)
        if rounds:
            infos = self._infos(op.inputIndexes, len(inputs))
            inputs = [
                each if each is None or info is None else rounded(each, info)
                for each, info in zip(inputs, infos, strict=True)
            ]
        call = OpCall(op, type_name, op.main, inputs, self)
        found = interpret(call)
        if found is None:
            from mnn.format.opaque import opaque

            self.unknown.append(f"{call.name} ({type_name})")
            found = opaque(call)
        results = [found] if isinstance(found, Var) else list(found)
        if rounds:
            results = rounded_all(results, self._infos(op.outputIndexes, len(results)))
        return [capture(each) for each in results]

    def _infos(self, indices: Any, count: int) -> list[Any]:
        infos = [self.quantised.get(index) for index in _indices(indices)]
        return (infos + [None] * count)[:count]

    def _rounds(self, op: Any, type_name: str) -> bool:
        """Return whether an operator of an int8 model runs on codes."""
        if not self.quantised:
            return False
        from mnn.format.handlers.quantized import ROUNDED

        places = [index for index in _indices(op.inputIndexes) if index >= 0]
        return type_name in ROUNDED and all(
            index in self.quantised for index in [*places, *_indices(op.outputIndexes)]
        )

    def _operand(self, op: Any, index: int) -> Var | None:
        if index < 0:
            return None
        ref = self.tensors.get(index)
        if ref is None:
            raise FormatError(
                f"{op.name or op.type}: operand tensor {index} is not produced by an earlier "
                "operator; the file is damaged."
            )
        return var_of(ref)

    def _bind(self, op: Any, label: str, outputs: list[int], results: Sequence[Ref]) -> None:
        if len(results) < len(outputs):
            raise FormatError(
                f"{label}: {len(outputs)} results are declared, the operator has {len(results)}."
            )
        for index, ref in zip(outputs, results, strict=False):
            if not 0 <= index < len(self.names):
                raise FormatError(
                    f"{label}: result tensor {index} has no name ({len(self.names)} tensors)."
                )
            name = self.names[index]
            if name and ref.port not in ref.node.names:
                ref.node.names[ref.port] = name
            self.tensors[index] = ref


def input_type(op: Any) -> TensorType:
    """Return the declared type of an `Input` operator."""
    main = op.main
    if main is None:
        return TensorType(None, np.dtype(np.float32), data_format.NC4HW4)
    sizes: list[Dim] = []
    for position, size in enumerate(_indices(main.dims)):
        if size >= 0:
            sizes.append(size)
        else:
            sizes.append(fresh(f"{op.name or 'input'}{position}"))
    format = _FORMATS.get(int(main.dformat), data_format.NCHW)
    return TensorType(tuple(sizes), element_type(int(main.dtype)), format)


_ELEMENTS = {
    "DT_FLOAT": np.float32,
    "DT_DOUBLE": np.float32,
    "DT_HALF": np.float32,
    "DT_BFLOAT16": np.float32,
    "DT_INT32": np.int32,
    "DT_INT64": np.int32,
    "DT_BOOL": np.int32,
    "DT_QINT32": np.int32,
    "DT_UINT8": np.uint8,
    "DT_QUINT8": np.uint8,
    "DT_INT8": np.int8,
    "DT_QINT8": np.int8,
    "DT_INT16": np.int16,
    "DT_QINT16": np.int16,
    "DT_UINT16": np.uint16,
    "DT_QUINT16": np.uint16,
}


def element_type(number: int) -> np.dtype[Any]:
    """Return the dtype of a file's `DataType`; files have no int64, bool or float64 tensors."""
    name = schema().enums["DataType"].by_value.get(number, "")
    if name not in _ELEMENTS:
        raise FormatError(f"tensors of type {name or number} are not supported.")
    return np.dtype(_ELEMENTS[name])


def decode_net(net: Any, external: Any = None) -> LoadedGraph:
    """Return the graph of a verified net.

    Args:
        net: root table from `mnn.format.reader.read_net`.
        external: reader of the weight file, or None.

    Raises:
        FormatError: the operators contradict each other or their declared types.
    """
    import mnn.format.handlers  # noqa: F401 - registers the readers

    pass_ = Decoder(net, external, list(net.tensorName or []))
    pass_.described = {int(each.index): each for each in net.extraTensorDescribe or []}
    pass_.quantised = {
        index: each.quantInfo
        for index, each in pass_.described.items()
        if each.quantInfo is not None
    }
    inputs: list[tuple[int, Node]] = []
    ops = list(net.oplists or [])
    input_number = schema().enums["OpType"].by_name["Input"]
    with recording():
        for op in ops:
            if op.type == input_number:
                for index in _indices(op.outputIndexes)[:1]:
                    name = pass_.names[index] if 0 <= index < len(pass_.names) else ""
                    node = input_leaf(input_type(op), name)
                    pass_.tensors[index] = Ref(node, 0)
                    inputs.append((index, node))
        pass_.run(ops)
    return _finish(pass_, ops, inputs)


def _finish(pass_: Decoder, ops: Sequence[Any], inputs: Sequence[tuple[int, Node]]) -> LoadedGraph:
    names = pass_.names
    by_name: dict[str, Ref] = {}
    for op in ops:
        for index in _indices(op.outputIndexes):
            if index in pass_.tensors and 0 <= index < len(names):
                by_name.setdefault(names[index], pass_.tensors[index])
    declared = [name for name in pass_.net.outputName or [] if name]
    missing = [name for name in declared if name not in by_name]
    if missing:
        raise FormatError(f"output tensors {missing} are not produced; the file is damaged.")
    if not declared:
        consumed = {index for op in ops for index in _indices(op.inputIndexes)}
        produced = sorted(index for op in ops for index in _indices(op.outputIndexes))
        leaves = {index for index, _ in inputs}
        declared = [
            names[index]
            for index in produced
            if index not in consumed and index not in leaves and 0 <= index < len(names)
        ]
    return LoadedGraph(
        [node for _, node in inputs],
        [by_name[name] for name in declared],
        [names[index] for index, _ in inputs],
        declared,
        by_name,
        pass_.unknown,
        pass_.net,
    )


def decode_body(pass_: Decoder, name: str, types: Mapping[str, TensorType]) -> Graph:
    """Return subgraph `name` as a Graph with inputs of the given types, in the subgraph's order."""
    table = pass_.subgraph(name)
    inner = Decoder(
        pass_.net,
        pass_.external,
        list(table.tensors or []),
        unknown=pass_.unknown,
        nesting=pass_.nesting,
    )
    leaves: list[Node] = []
    for index in _indices(table.inputs):
        if not 0 <= index < len(inner.names):
            raise FormatError(f"subgraph {name!r}: input tensor {index} has no name.")
        label = inner.names[index]
        kind = types.get(label)
        if kind is None:
            raise FormatError(f"subgraph {name!r}: nothing is passed to its input {label!r}.")
        node = input_leaf(kind, label)
        inner.tensors[index] = Ref(node, 0)
        leaves.append(node)
    inner.run(list(table.nodes or []))
    outputs = [inner.tensors.get(index) for index in _indices(table.outputs)]
    if any(each is None for each in outputs):
        raise FormatError(f"subgraph {name!r}: an output is not produced; the file is damaged.")
    return Graph(leaves, [each for each in outputs if each is not None])
