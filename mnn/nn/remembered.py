"""Models that an earlier process loaded: a module is ready before the graph is read again.

What a module has to know of a model is little: names and types of inputs and outputs. It is kept,
under the identity of the file, in the same place as compiled kernels, together with the plans that
the model's graph was compiled to. A process that finds both never decodes the graph.

A file is the same one when nothing that the system tells about it has changed. Files that were
written a moment ago are not remembered: the clock of the file system may be too coarse to tell
whether they are written once more.
"""

from __future__ import annotations

import marshal
import mmap
import os
import time
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from mnn.backends.store import plan_store
from mnn.expr.enums import data_format
from mnn.expr.graph import DeferredGraph, Graph, Origin
from mnn.expr.node import Node
from mnn.expr.symbols import Symbol, fresh
from mnn.expr.trace import input_leaf
from mnn.expr.types import TensorType
from mnn.records import dataclass

__all__ = ["KnownFiles", "Recalled"]

SETTLED_SECONDS = 2.0
"""Age from which on a file's times tell whether it changes."""

_Identity: TypeAlias = "tuple[int, ...]"


@dataclass(frozen=True)
class Recalled:
    """What is known of the part of a model between two sets of tensors.

    Attributes:
        graph: it; its nodes are made when they are needed.
        inputs, outputs: names of tensors.
        info: version and bizCode.
    """

    graph: Graph
    inputs: list[str]
    outputs: list[str]
    info: dict[str, Any]


class KnownFiles:
    """The files of one model: itself, and perhaps one with weights.

    Args:
        path: of the model.
        external: of its weights.
    """

    def __init__(self, path: str, external: str) -> None:
        self._paths = (path, external)
        self._identities = tuple(map(_identity, self._paths))
        # Seconds since any of them changed.
        newest = max((max(each[-2:]) for each in self._identities if each), default=0)
        age = time.time() - newest / 1e9
        self._usable = bool(self._identities[0]) and age > SETTLED_SECONDS and plan_store().usable

    def recall(self, inputs: Sequence[str], outputs: Sequence[str]) -> Recalled | None:
        """Return what an earlier process found between inputs and outputs, None if none did."""
        if not self._usable:
            return None
        text = self._describe(inputs, outputs)
        stored = plan_store().get_text(text)
        files = None if stored is None else self._map()
        if stored is None or files is None:
            return None
        leaves, formats, (input_names, output_names), info = marshal.loads(stored)
        paths = self._paths

        def make() -> Graph:
            from mnn.format.external import ExternalFile
            from mnn.format.model import load_model

            model = load_model(files[0], external=ExternalFile(paths[1], *files[1:]))
            made, *_ = model.select(inputs, outputs)
            return Graph(made.inputs, made.outputs, origin)

        origin = Origin(plan_store().key(text), files)
        graph = DeferredGraph(
            [_unpack_leaf(each) for each in leaves], list(map(data_format, formats)), origin, make
        )
        return Recalled(graph, list(input_names), list(output_names), dict(info))

    def remember(
        self,
        inputs: Sequence[str],
        outputs: Sequence[str],
        found: Recalled,
        files: Sequence[memoryview],
    ) -> Graph:
        """Return a graph that was just read, as one whose plans are stored.

        Args:
            inputs, outputs: what was asked for.
            found: what it turned out to be.
            files: the mapped files that it was read from.
        """
        graph = found.graph
        if not self._usable or graph.trainable or self._identities != self._now():
            return graph
        text = self._describe(inputs, outputs)
        outline = (
            tuple(_pack_leaf(each) for each in graph.inputs),
            tuple(map(int, graph.formats)),
            (tuple(found.inputs), tuple(found.outputs)),
            tuple(found.info.items()),
        )
        plan_store().put_text(text, marshal.dumps(outline))
        return Graph(graph.inputs, graph.outputs, Origin(plan_store().key(text), tuple(files)))

    def _describe(self, inputs: Sequence[str], outputs: Sequence[str]) -> str:
        return f"outline {self._identities} {list(inputs)} {list(outputs)}"

    def _now(self) -> tuple[_Identity, ...]:
        return tuple(map(_identity, self._paths))

    def _map(self) -> tuple[memoryview, ...] | None:
        """Return the mapped files, None when they are other ones by now."""
        found: list[memoryview] = []
        for path, known in zip(self._paths, self._identities, strict=True):
            if not known:
                continue
            try:
                with open(path, "rb") as file:
                    if _tell(os.fstat(file.fileno())) != known:
                        return None
                    found.append(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
            except (OSError, ValueError):
                return None
        return tuple(found)


def _identity(path: str) -> _Identity:
    """Return what the system tells about a file, () when there is none."""
    try:
        return _tell(os.stat(path))
    except (OSError, ValueError):
        return ()


def _tell(state: os.stat_result) -> _Identity:
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def _pack_leaf(node: Node) -> tuple[Any, ...]:
    declared = node.types[0]
    sizes = None
    if declared.shape is not None:
        sizes = tuple(
            repr(size) if isinstance(size, Symbol) else int(size) for size in declared.shape
        )
    return node.names.get(0, ""), sizes, declared.dtype.str, int(declared.format)


def _unpack_leaf(packed: tuple[Any, ...]) -> Node:
    name, sizes, dtype, format = packed
    shape = None
    if sizes is not None:
        shape = tuple(fresh(size) if isinstance(size, str) else size for size in sizes)
    return input_leaf(TensorType(shape, np.dtype(dtype), data_format(format)), name)
