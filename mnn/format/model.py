"""Loading and saving graphs: the functions behind `mnn.expr` and `mnn.nn`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mnn.errors import DTypeError, FormatError, UnsupportedError
from mnn.expr.graph import Graph, rebuild
from mnn.expr.node import Node, Ref, walk
from mnn.expr.trace import input_leaf
from mnn.format.decode import LoadedGraph, decode_net
from mnn.format.dump import describe_net
from mnn.format.external import ExternalFile, path_of_weights
from mnn.format.opaque import Opaque
from mnn.format.reader import read_net
from mnn.records import dataclass

__all__ = ["Model", "load_model"]


@dataclass
class Model:
    """A decoded file.

    Attributes:
        graph: its graph and tensors.    path: where it came from.
        external: its weight file, or None.
    """

    graph: LoadedGraph
    path: str
    external: ExternalFile | None = None

    @property
    def version(self) -> str:
        """Version of the tools that wrote the file."""
        info = self.graph.net.extraInfo
        return str(info.version or "") if info is not None else ""

    @property
    def biz_code(self) -> str:
        """Tag given at conversion."""
        return str(self.graph.net.bizCode or "")

    def describe(self) -> dict[str, Any]:
        """Return a summary of the file."""
        return describe_net(self.graph.net)

    @property
    def files(self) -> list[memoryview]:
        """The mapped files whose bytes are weights, or bytes that were given."""
        weights = self.external.mapped if self.external is not None else None
        return [self.graph.net.whole_file, *([] if weights is None else [weights])]

    def select(
        self, input_names: Sequence[str], output_names: Sequence[str]
    ) -> tuple[Graph, list[str], list[str]]:
        """Return the part between two sets of tensors; empty lists mean all.

        Raises:
            FormatError: a name is not in the file.
            UnsupportedError: the part needs operators that are not supported.
        """
        inputs = list(input_names or []) or list(self.graph.input_names)
        outputs = list(output_names or []) or list(self.graph.output_names)
        known = self.graph.tensors
        missing = [name for name in (*inputs, *outputs) if name not in known]
        if missing:
            raise FormatError(
                f"{self.path}: it has no tensors named {missing}. Its inputs are "
                f"{self.graph.input_names}, its outputs {self.graph.output_names}."
            )
        leaves, replacements = _cut([known[name] for name in inputs], inputs)
        results = rebuild([known[name] for name in outputs], replacements, unique=True)
        self._check(results, leaves)
        return Graph(leaves, results), inputs, outputs

    def _check(self, outputs: Sequence[Ref], leaves: Sequence[Node]) -> None:
        lacking = sorted(
            {
                f"{node.operation.label} ({node.operation.name})"
                for node in walk(outputs)
                if isinstance(node.operation, Opaque)
            }
        )
        if lacking:
            raise UnsupportedError(
                f"{self.path}: operators that are not supported: {', '.join(lacking)}. "
                "Ask for outputs that do not need them; see docs/operators.md."
            )
        fed = set(leaves)
        open_inputs = [
            node.names.get(0, "?")
            for node in walk(outputs)
            if node.kind == "Input" and node not in fed
        ]
        if open_inputs:
            raise FormatError(
                f"{self.path}: the outputs also need the inputs {open_inputs}. Name them too."
            )


def _cut(refs: Sequence[Ref], names: Sequence[str]) -> tuple[list[Node], dict[Node, list[Ref]]]:
    leaves: list[Node] = []
    replacements: dict[Node, list[Ref]] = {}
    for ref, name in zip(refs, names, strict=True):
        if ref.node.kind == "Input":
            leaves.append(ref.node)
            continue
        node = input_leaf(ref.type, name)
        leaves.append(node)
        held = replacements.setdefault(
            ref.node, [Ref(ref.node, port) for port in range(len(ref.node.types))]
        )
        held[ref.port] = Ref(node, 0)
    return leaves, replacements


def load_model(
    file: str | os.PathLike[str] | bytes | memoryview,
    *,
    external_path: str | None = None,
    external: ExternalFile | None = None,
) -> Model:
    """Return a file's graph.

    Args:
        file: path, or the bytes of a file.
        external_path: weight file, by default the path with `.weight` appended.
        external: the weight file itself.

    Raises:
        OSError: the file cannot be read.    FormatError: it is damaged.
    """
    if isinstance(file, (bytes, bytearray, memoryview)):
        path = "model"
        if external is None and external_path:
            external = ExternalFile(external_path)
    else:
        path = os.fspath(file)
        if not isinstance(path, str):
            raise DTypeError(f"load: found {type(file).__name__}, expected a path.")
        file = path
        if external is None:
            external = ExternalFile(external_path or path_of_weights(path))
    return Model(decode_net(read_net(file), external), path, external)
