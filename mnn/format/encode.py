"""From a graph to the tables of a `.mnn` file, through the same codecs that read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, UnsupportedError
from mnn.expr.enums import data_format
from mnn.expr.graph import Graph
from mnn.expr.node import INPUT, Node, Ref, walk
from mnn.expr.symbols import shape_numbers
from mnn.expr.types import TensorType
from mnn.format.fitting import fit_operands, narrowed_result
from mnn.format.plain import encode_plain
from mnn.ops.spec import OpSpec
from mnn.records import dataclass, field

__all__ = ["VERSION", "Encoder", "NodeCall", "data_type", "encode_graph", "encoder", "format_name"]

Array = np.ndarray[Any, Any]

VERSION = "3.6.1"
"""Version written into files: that of the format these tables follow."""

FORMAT_NAMES = {
    data_format.NCHW: "NCHW",
    data_format.NHWC: "NHWC",
    data_format.NC4HW4: "NC4HW4",
}

_DATA_TYPES = {
    "float32": "DT_FLOAT",
    "float64": "DT_FLOAT",
    "float16": "DT_FLOAT",
    "int32": "DT_INT32",
    "int64": "DT_INT32",
    "int16": "DT_INT32",
    "uint16": "DT_INT32",
    "uint32": "DT_INT32",
    "bool": "DT_INT32",
    "uint8": "DT_UINT8",
    "int8": "DT_INT8",
}

_VECTORS = {
    "DT_FLOAT": ("float32s", np.float32),
    "DT_INT32": ("int32s", np.int32),
    "DT_UINT8": ("uint8s", np.uint8),
    "DT_INT8": ("int8s", np.int8),
}


@dataclass
class NodeCall:
    """One node being written, as a handler sees it.

    Attributes:
        node: the node.    inputs: tensor index per operand, -1 for an omitted one.
        outputs: tensor index per result.    encoder: the pass that writes the file.
    """

    node: Node
    inputs: list[int]
    outputs: list[int]
    encoder: Encoder

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Attributes of the node."""
        return self.node.attributes

    def input_type(self, index: int) -> TensorType:
        """Return the type of operand `index`, which must be present."""
        ref = self.node.inputs[index]
        if ref is None:
            raise UnsupportedError(f"save: {self.node.kind} lacks operand {index}.")
        return ref.type

    def constant_input(self, index: int) -> Array | None:
        """Return the value of an operand that is a constant or trainable leaf, else None."""
        ref = self.node.inputs[index]
        if ref is None or ref.node.cell is None or ref.node.kind == INPUT:
            return None
        return ref.node.cell.array

    def emit(
        self,
        op_type: str,
        main_type: str = "NONE",
        main: Mapping[str, Any] | None = None,
        *,
        inputs: Sequence[int] | None = None,
        outputs: Sequence[int] | None = None,
        format: data_format | None = None,
    ) -> None:
        """Write an operator; inputs and outputs default to the node's."""
        self.encoder.emit(
            op_type,
            self.inputs if inputs is None else inputs,
            self.outputs if outputs is None else outputs,
            main_type,
            main,
            format=format,
        )

    def emit_packed(
        self,
        op_type: str,
        main_type: str,
        main: Mapping[str, Any],
        inputs: Sequence[int] | None = None,
    ) -> None:
        """Write an operator whose first operand and result are NC4HW4 in converted files.

        Readers exist that take no other format for these operators.
        """
        emit, temporary = self.encoder.emit, self.encoder.temporary
        source, target = self.input_type(0).format, self.node.types[0].format
        packed = "NC4HW4"
        inputs, outputs = list(self.inputs if inputs is None else inputs), list(self.outputs)
        if source is not data_format.NC4HW4:
            first, inputs[0] = inputs[:1], temporary("ConvertTensor")
            convert = {"source": format_name(source), "dest": packed}
            emit("ConvertTensor", first, inputs[:1], "TensorConvertInfo", convert)
        if target is not data_format.NC4HW4:
            outputs[0] = temporary(op_type)
        emit(op_type, inputs, outputs, main_type, main)
        if target is not data_format.NC4HW4:
            convert = {"source": packed, "dest": format_name(target)}
            emit("ConvertTensor", outputs[:1], self.outputs[:1], "TensorConvertInfo", convert)


Writer = Callable[[NodeCall], None]

_writers: dict[str, Writer] = {}


def encoder(*names: str) -> Callable[[Writer], Writer]:
    """Register a function as the writer of some operators (by their declared name)."""

    def register(function: Writer) -> Writer:
        for name in names:
            if name in _writers:
                raise AssertionError(f"two writers for {name}")
            _writers[name] = function
        return function

    return register


def can_encode(spec: OpSpec) -> bool:
    """Return True when graphs with this operator can be saved."""
    import mnn.format.handlers  # noqa: F401 - registers the writers

    return spec.name in _writers or (spec.codec is not None and not spec.codec.handled)


def format_name(format: data_format) -> str:
    """Return the file's name of a dimension format."""
    return FORMAT_NAMES[format]


def data_type(dtype: np.dtype[Any]) -> str:
    """Return the file's name of an element type; wider types are stored in the 32-bit ones."""
    name = _DATA_TYPES.get(dtype.name)
    if name is None:
        raise DTypeError(
            f"save: {dtype.name} cannot be stored in a .mnn file. Convert it to float32 or int32."
        )
    return name


def blob(array: Array, format: data_format) -> dict[str, Any]:
    """Return the `Blob` table of an array.

    Raises:
        DTypeError: the type has no form in the file, or an integer does not fit 32 bits.
    """
    name = data_type(array.dtype)
    field_name, dtype = _VECTORS[name]
    if array.dtype.kind in "iu" and dtype == np.int32 and array.dtype.itemsize >= 4 and array.size:
        limits = np.iinfo(np.int32)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise DTypeError(
                f"save: a constant of type {array.dtype.name} holds values beyond 32 bits, which "
                ".mnn files cannot store. Convert it to float32, or keep it out of the graph."
            )
    table: dict[str, Any] = {
        "dims": [int(size) for size in array.shape],
        "dataFormat": format_name(format),
        "dataType": name,
    }
    if array.size:
        table[field_name] = np.ascontiguousarray(array, dtype).reshape(-1)
    return table


@dataclass
class Encoder:
    """One pass over the nodes of a graph.

    Attributes:
        ops: operator tables written so far.    names: tensor names by index.
        tensors: index of each node's results.
        subgraphs: bodies of control-flow operators, shared with the bodies' own passes.
    """

    ops: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    tensors: dict[Ref, int] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    counter: int = 0
    subgraphs: list[dict[str, Any]] = field(default_factory=list)

    def tensor(self, wanted: str, base: str) -> int:
        """Return the index of a new tensor, named `wanted` if that is free."""
        self.counter += 1
        name = wanted or f"{base}{self.counter}"
        while name in self.used:
            self.counter += 1
            name = f"{wanted or base}_{self.counter}"
        self.used.add(name)
        self.names.append(name)
        return len(self.names) - 1

    def temporary(self, base: str) -> int:
        """Return the index of a new unnamed tensor."""
        return self.tensor("", base)

    def constant(self, array: Array, name: str = "", format: data_format = data_format.NCHW) -> int:
        """Write a constant and return its tensor index."""
        index = self.tensor(name, "Const")
        self.emit("Const", (), (index,), "Blob", blob(array, format))
        return index

    def integers(self, values: Sequence[int]) -> int:
        """Write a 1-D int32 constant and return its tensor index."""
        return self.constant(np.asarray(list(values), np.int32))

    def emit(
        self,
        op_type: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        main_type: str = "NONE",
        main: Mapping[str, Any] | None = None,
        *,
        format: data_format | None = None,
    ) -> None:
        """Write an operator table."""
        table: dict[str, Any] = {
            "type": op_type,
            "name": self.names[outputs[0]] if outputs else "",
            "inputIndexes": list(inputs),
            "outputIndexes": list(outputs),
        }
        if main_type != "NONE":
            table["main_type"] = main_type
            table["main"] = dict(main or {})
        if format is not None:
            table["defaultDimentionFormat"] = format_name(format)
        self.ops.append(table)

    def node(self, node: Node) -> None:
        """Write one node."""
        if node.cell is not None:
            self._leaf(node)
            return
        spec = node.operation
        if not isinstance(spec, OpSpec):
            raise UnsupportedError(f"save: {node.kind} cannot be written.")
        inputs = [-1 if ref is None else self.tensors[ref] for ref in node.inputs]
        while inputs and inputs[-1] == -1:
            inputs.pop()
        outputs = []
        for port in range(len(node.types)):
            index = self.tensor(node.names.get(port, ""), spec.op_type)
            self.tensors[Ref(node, port)] = index
            outputs.append(index)
        inputs = fit_operands(self, node, inputs)
        if not narrowed_result(node):
            self._operator(node, spec, inputs, outputs)
            return
        wide = self.temporary(spec.op_type)
        self._operator(node, spec, inputs, [wide])
        main = {"srcT": "DT_INT32", "dstT": data_type(node.types[0].dtype)}
        self.emit("Cast", [wide], outputs, "CastParam", main)

    def _operator(self, node: Node, spec: OpSpec, inputs: list[int], outputs: list[int]) -> None:
        writer = _writers.get(spec.name)
        if writer is not None:
            writer(NodeCall(node, inputs, outputs, self))
            return
        fields = encode_plain(spec, node.attributes)
        if fields is None:
            raise UnsupportedError(f"save: {spec.name} cannot be written.")
        self.emit(
            fields["type"], inputs, outputs, fields.get("main_type", "NONE"), fields.get("main")
        )

    def input(self, node: Node, name: str) -> int:
        """Write an `Input` operator for a leaf and return its tensor index."""
        kind = node.types[0]
        index = self.tensor(name, "Input")
        main = {
            "dims": list(shape_numbers(kind.shape or ())),
            "dtype": data_type(kind.dtype),
            "dformat": format_name(kind.format),
        }
        self.emit("Input", (), (index,), "Input", main)
        self.tensors[Ref(node, 0)] = index
        return index

    def body(self, graph: Graph, base: str, inputs: Sequence[str]) -> tuple[str, list[str]]:
        """Write a subgraph; return its name and those of its outputs, each a tensor of its own.

        Args:
            graph: the body.
            base: start of the subgraph's name.
            inputs: names of its inputs, in order.

        Raises:
            UnsupportedError: the body reads an input of the graph around it.
        """
        inner = Encoder(subgraphs=self.subgraphs)
        places = [inner.input(node, name) for node, name in zip(graph.inputs, inputs, strict=True)]
        for node in walk(graph.outputs):
            if node.kind == INPUT and Ref(node, 0) not in inner.tensors:
                raise UnsupportedError(
                    f"save: the body of {base} reads the input {node.names.get(0, '')!r} of the "
                    "graph around it. Pass it to the operator as an argument."
                )
            if Ref(node, 0) not in inner.tensors:
                inner.node(node)
        outputs: list[int] = []
        for ref in graph.outputs:
            index = inner.tensors[ref]
            if index in outputs or index in places:
                source, index = index, inner.temporary("Identity")
                inner.emit("Identity", (source,), (index,))
            outputs.append(index)
        labels = [inner.names[index] for index in outputs]
        order = _drop_unused(inner, outputs)
        name = f"{base}{len(self.subgraphs)}"
        table = {
            "name": name,
            "inputs": [order[index] for index in places],
            "outputs": [order[index] for index in outputs],
            "tensors": inner.names,
            "nodes": inner.ops,
        }
        self.subgraphs.append(table)
        return name, labels

    def _leaf(self, node: Node) -> None:
        kind = node.types[0]
        name = node.names.get(0, "")
        if node.kind == INPUT:
            self.input(node, name)
            return
        array = node.cell.value(name) if node.cell is not None else np.empty(0)
        self.tensors[Ref(node, 0)] = self.constant(array, name, kind.format)


def unsupported_nodes(nodes: Sequence[Node]) -> list[str]:
    """Return the names of operators among `nodes` that cannot be saved, each once."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node.operation, OpSpec) and not can_encode(node.operation):
            found.add(node.operation.name)
        for value in node.attributes.values():
            if isinstance(value, Graph):
                found.update(unsupported_nodes(list(walk(value.outputs))))
    return sorted(found)


def encode_graph(outputs: Sequence[Ref], names: Sequence[str]) -> dict[str, Any]:
    """Return the `Net` table of the graph under `outputs`.

    Args:
        outputs: results to save.
        names: name of each output, "" to keep the node's or make one up.

    Raises:
        UnsupportedError: operators have no form in the file; all of them are named.
        DTypeError: a constant's type or value has none.
    """
    nodes = list(walk(outputs))
    missing = unsupported_nodes(nodes)
    if missing:
        raise UnsupportedError(
            f"save: {missing} cannot be written to a .mnn file. Save a part of the graph without "
            "them, or compute them with fix_as_const() first."
        )
    pass_ = Encoder()
    wanted = {ref: name for ref, name in zip(outputs, names, strict=True) if name}
    for node in nodes:
        pass_.node(node)
    output_names: list[str] = []
    for ref in outputs:
        index = pass_.tensors[ref]
        name = wanted.get(ref, "")
        if name and name != pass_.names[index] and name not in pass_.used:
            _rename(pass_, index, name)
        if pass_.names[index] not in output_names:
            output_names.append(pass_.names[index])
    _drop_unused(pass_, [pass_.tensors[ref] for ref in outputs])
    return {
        "oplists": pass_.ops,
        "tensorName": pass_.names,
        "outputName": output_names,
        "subgraphs": pass_.subgraphs or None,
        "extraInfo": {"version": VERSION},
    }


def _drop_unused(pass_: Encoder, outputs: Sequence[int]) -> dict[int, int]:
    """Leave out operators nobody reads: weights that went into a layer, their reshapes.

    Returns:
        The new index of every tensor that is left.
    """
    needed = set(outputs)
    kept: list[dict[str, Any]] = []
    for op in reversed(pass_.ops):
        if op["type"] == "Input" or needed.intersection(op["outputIndexes"]):
            needed.update(op["inputIndexes"])
            kept.append(op)
    numbers = {index for op in kept for index in op["outputIndexes"]}
    order = {old: new for new, old in enumerate(sorted(numbers))}
    pass_.names = [pass_.names[old] for old in sorted(numbers)]
    for op in kept:
        for field_name in ("inputIndexes", "outputIndexes"):
            op[field_name] = [order.get(index, -1) for index in op[field_name]]
    pass_.ops = kept[::-1]
    return order


def _rename(pass_: Encoder, index: int, name: str) -> None:
    pass_.used.discard(pass_.names[index])
    pass_.used.add(name)
    pass_.names[index] = name
    for op in pass_.ops:
        if op["outputIndexes"][:1] == [index]:
            op["name"] = name
