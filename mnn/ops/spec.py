"""The operator record, and the one way every operator is called.

An `OpSpec` says once everything that is true of an operator. Calling it computes at once in
eager mode and records a node otherwise; the graph, the backends, the file format, the gradients,
the documentation and the tests all read the same record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from sys import modules
from typing import Any

import numpy as np

from mnn.codegen.bodies import register_body
from mnn.config import config
from mnn.errors import DTypeError, EvaluationError, MnnError, ShapeError
from mnn.expr.enums import data_format
from mnn.expr.grad import GradCall
from mnn.expr.memory import share
from mnn.expr.modes import should_record
from mnn.expr.node import Ref, epoch, make_node
from mnn.expr.pending import defer
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture, var_of
from mnn.ops.bfloat16 import as_bfloat16, as_float32, computes_bfloat16, keeps_bfloat16
from mnn.ops.codec import Codec
from mnn.ops.operands import as_var
from mnn.records import dataclass, field

__all__ = [
    "INTEGERS",
    "REAL",
    "REQUIRED",
    "BadCall",
    "GradCall",
    "OpSpec",
    "Sample",
    "all_specs",
    "find_spec",
]

Array = np.ndarray[Any, Any]

REQUIRED: Any = object()
"""Default of an attribute that has none."""

REAL = "biuf"
"""Kinds of real numbers."""

INTEGERS = "iu"
"""Kinds of integers."""

# Operators whose results on large arrays may wait to be computed together with others.
_WAITING_FAMILIES = ("elementwise", "reduce", "movement", "normalization", "matmul", "scan", "sort")
_WAITING = ("cast", "getitem", "softmax", "log_softmax")

_HALVES = "ml_dtypes"
"""Where this is not loaded, there is no bfloat16 to look for."""

_WORDS = {REAL: "real numbers", INTEGERS: "integers", "iuf": "real numbers (not bool)"}


@dataclass(frozen=True)
class Sample:
    """Arguments of one valid call, for the every-operator tests.

    Attributes:
        inputs: arrays, Python numbers, or None for an omitted optional input.
        attributes: keyword arguments.
        gradient: also check the gradient with these inputs (needs float inputs away from kinks);
            a tuple of positions: only that of these operands, the others count as constants.
        oracle: independent expected results (a NumPy computation written out), or None.
    """

    inputs: tuple[Any, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    gradient: bool | tuple[int, ...] = True
    oracle: Callable[..., Any] | None = None


@dataclass(frozen=True)
class BadCall:
    """Arguments that must be refused, and with which error."""

    why: str
    inputs: tuple[Any, ...]
    error: type[Exception]
    attributes: Mapping[str, Any] = field(default_factory=dict)


class _CallSignature:
    """What `inspect.signature` and `help` find on an operator; made on demand."""

    def __get__(self, spec: OpSpec | None, owner: type[OpSpec]) -> Signature:
        if spec is None:
            raise AttributeError("__signature__")
        return spec.call_signature


_registry: dict[str, OpSpec] = {}


@dataclass(frozen=True, eq=False)
class OpSpec:
    """Everything that is true of one operator.

    Attributes:
        name: unique name, the public function's where there is one.
        inputs: operand names; a trailing `?` marks an optional one, a trailing `*` any number.
        attributes: default by name; `REQUIRED` for none.
        infer: `(types, attributes) -> type or types`: result types, or ShapeError/DTypeError.
        reference: `(*arrays, **attributes) -> array or arrays`: the meaning, in NumPy.
        family: documentation group.
        grad: `(GradCall) -> gradient of each input` (None: zero); None: not differentiable.
        body: `(k, *scalars) -> scalar` in terms of kernel-builder methods; None: not elementwise.
        codec: how `.mnn` files write it; None: they cannot, or a handler of `mnn.format` does.
        onnx: name of the ONNX operator with the same meaning.
        samples: valid calls for the tests.    bad: calls that must be refused.
        pure: False when equal calls may differ (random numbers).
        sets_format: `infer` may give results another format than NCHW inputs have.
        kinds: accepted NumPy kinds by operand name (see `REAL`, `INTEGERS`), where not all are.
        strict: `reference` accepts calls that `infer` refuses: eager calls ask `infer` first.
        waits: results on large arrays may stay pending in eager mode; derived from the others.
        doc: one line of what it returns.
    """

    name: str
    inputs: tuple[str, ...]
    infer: Callable[[Sequence[Any], Mapping[str, Any]], Any]
    reference: Callable[..., Any]
    family: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    grad: Callable[[GradCall], Sequence[Var | None]] | None = None
    body: Callable[..., Any] | None = None
    codec: Codec | None = None
    onnx: str | None = None
    samples: tuple[Sample, ...] = ()
    bad: tuple[BadCall, ...] = ()
    pure: bool = True
    sets_format: bool = False
    strict: bool = False
    kinds: Mapping[str, str] = field(default_factory=dict)
    doc: str = ""
    waits: bool = False

    __signature__ = _CallSignature()

    def __post_init__(self) -> None:
        if self.name in _registry:
            raise AssertionError(f"operator {self.name!r} is declared twice")
        _registry[self.name] = self
        object.__setattr__(self, "__doc__", f"Return {self.doc}.")
        waits = self.pure and (self.family in _WAITING_FAMILIES or self.name in _WAITING)
        object.__setattr__(self, "waits", waits)
        object.__setattr__(self, "__name__", self.name)
        if self.body is not None:
            register_body(self.name, self.body)

    # --- what the graph asks ---------------------------------------------------------------------

    @property
    def op_type(self) -> str:
        """Name of the operation as the reference package reports it."""
        return self.codec.op_name if self.codec is not None else self.name

    def infer_types(
        self, types: Sequence[TensorType | None], attributes: Mapping[str, Any]
    ) -> tuple[TensorType, ...]:
        """Return the result types for input types, or raise the error of a wrong call."""
        if _HALVES in modules and computes_bfloat16(self.name, types):
            found = self.infer_types(as_float32(types), attributes)
            return as_bfloat16(found) if keeps_bfloat16(self.family, types, attributes) else found
        if self.kinds:
            self._check_kinds(types)
        result = self.infer(types, attributes)
        return (result,) if isinstance(result, TensorType) else tuple(result)

    def compute(
        self, arrays: Sequence[Array | None], attributes: Mapping[str, Any]
    ) -> tuple[Array, ...]:
        """Return the results as arrays."""
        if _HALVES in modules and computes_bfloat16(self.name, arrays):
            found = self.compute(as_float32(arrays), attributes)
            return as_bfloat16(found) if keeps_bfloat16(self.family, arrays, attributes) else found
        if self.kinds:
            self._check_kinds(arrays)
        try:
            result = self.reference(*arrays, **attributes)
        except (MnnError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - turned into the precise error of the type rule
            self._explain(arrays, attributes, error)
        if isinstance(result, (tuple, list)):
            return tuple(
                each if isinstance(each, np.ndarray) else np.asarray(each) for each in result
            )
        return (result if isinstance(result, np.ndarray) else np.asarray(result),)

    def _check_kinds(self, operands: Sequence[Array | TensorType | None]) -> None:
        for name, each in zip(self.inputs, operands, strict=False):
            plain = name.rstrip("?*")
            accepted = self.kinds.get(plain)
            if accepted and each is not None and each.dtype.kind not in accepted:
                raise DTypeError(
                    f"{self.name}: operand {plain} is {each.dtype}, expected "
                    f"{_WORDS.get(accepted, accepted)}. Convert with astype first."
                )

    def _explain(
        self, arrays: Sequence[Array | None], attributes: Mapping[str, Any], error: Exception
    ) -> None:
        """Raise the type rule's error for a failed computation, or a general one."""
        types = [None if each is None else TensorType.of(each) for each in arrays]
        self.infer_types(types, attributes)  # raises with the better message if it can
        found = ", ".join("none" if each is None else each.describe() for each in types)
        kind: type[MnnError] = EvaluationError
        if isinstance(error, TypeError):
            kind = DTypeError
        elif isinstance(error, ValueError):
            kind = ShapeError
        raise kind(f"{self.name}: failed on inputs {found}: {error}") from error

    # --- calling ---------------------------------------------------------------------------------

    def __call__(self, *inputs: Any, **attributes: Any) -> Any:
        """Apply the operator: a Var, or a tuple of Vars when it has several results."""
        if attributes:
            inputs, attributes = self.named_operands(inputs, attributes)
        operands = self._operands(inputs)
        return self.apply(operands, self._attributes(attributes))

    def apply(self, operands: Sequence[Var | None], attributes: Mapping[str, Any]) -> Any:
        """Apply the operator to Vars with complete attributes."""
        if should_record():
            return self._record(operands, attributes)
        large, plain = False, True
        product = 1
        for each in operands:
            if each is None:
                continue
            ref = each._ref
            if ref is not None:
                plain = False
                if ref.node.trainable:
                    return self._record_and_compute(operands, attributes)
            elif each._value is None or each._value.size >= config.pending_elements:
                large = True
            else:
                product *= each._value.size
            if each._format is not data_format.NCHW:
                plain = False
        if large or (product >= config.pending_elements and self._is_large(operands)):
            return self._apply_large(operands, attributes, plain=plain)
        return self._apply_now(operands, attributes)

    def _is_large(self, operands: Sequence[Var | None]) -> bool:
        """True when small operands broadcast to a large result."""
        if self.family != "elementwise":
            return False
        try:
            shape = np.broadcast_shapes(*[each.shape for each in operands if each is not None])
        except ValueError:
            return False
        return math.prod(shape) >= config.pending_elements

    def _apply_large(
        self, operands: Sequence[Var | None], attributes: Mapping[str, Any], *, plain: bool
    ) -> Any:
        """Leave a result pending if it can be; `plain`: nothing recorded, and all in NCHW."""
        if plain and self.waits and config.pending_bytes:
            pending = defer(self, operands, attributes)
            if pending is not None:
                return pending
        result = self._apply_now(operands, attributes)
        first = operands[0]
        if type(result) is Var and first is not None and first._ref is None:
            value = result._value
            if value is not None and value.base is not None:
                share(first, result)
        return result

    def _apply_now(self, operands: Sequence[Var | None], attributes: Mapping[str, Any]) -> Any:
        arrays = [None if each is None else _readable(each) for each in operands]
        if self.strict:
            self._types(operands, arrays, attributes)
        results = self.compute(arrays, attributes)
        formats = self._formats(operands, arrays, attributes, len(results))
        if len(results) == 1 and not self.several:
            return Var(results[0], formats[0])
        return tuple(Var(array, each) for array, each in zip(results, formats, strict=True))

    @property
    def several(self) -> bool:
        """True when a call returns a tuple even if it has one element."""
        return "outputs" in self.attributes

    def _formats(
        self,
        operands: Sequence[Var | None],
        arrays: Sequence[Array | None],
        attributes: Mapping[str, Any],
        count: int,
    ) -> list[data_format]:
        if all(each is None or each._format is data_format.NCHW for each in operands) and (
            not self.sets_format
        ):
            return [data_format.NCHW] * count
        return [each.format for each in self._types(operands, arrays, attributes)]

    def _types(
        self,
        operands: Sequence[Var | None],
        arrays: Sequence[Array | None],
        attributes: Mapping[str, Any],
    ) -> tuple[TensorType, ...]:
        types = [
            None if array is None or each is None else TensorType.of(array, each._format)
            for each, array in zip(operands, arrays, strict=True)
        ]
        return self.infer_types(types, attributes)

    def _record(self, operands: Sequence[Var | None], attributes: Mapping[str, Any]) -> Any:
        refs = [None if each is None else capture(each) for each in operands]
        node = make_node(self, refs, attributes, unique=not self.pure)
        outputs = tuple(var_of(Ref(node, index)) for index in range(len(node.types)))
        return outputs[0] if len(outputs) == 1 and not self.several else outputs

    def _record_and_compute(
        self, operands: Sequence[Var | None], attributes: Mapping[str, Any]
    ) -> Any:
        """Eager mode on trainable values: compute now, and keep the node for the gradient."""
        arrays = [None if each is None else each._array() for each in operands]
        refs = [None if each is None else capture(each) for each in operands]
        node = make_node(self, refs, attributes, unique=True)
        results = self.compute(arrays, attributes)
        node.cache = (epoch(), results)
        outputs = tuple(
            var_of(Ref(node, index), value=array) for index, array in enumerate(results)
        )
        return outputs[0] if len(outputs) == 1 and not self.several else outputs

    def named_operands(
        self, inputs: tuple[Any, ...], given: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return operands in order and attributes, for a call that may name operands.

        Raises:
            TypeError: an operand is given twice, or one is missing.
        """
        names = [name.rstrip("?*") for name in self.inputs]
        by_name = [name for name in names if name in given]
        if not by_name:
            return inputs, given
        twice = [name for name in names[: len(inputs)] if name in given]
        if twice:
            raise TypeError(f"{self.name}: operands {twice} are given by position and by name.")
        last = max(names.index(name) for name in by_name)
        missing = [
            name
            for name, declared in zip(names[:last], self.inputs, strict=False)
            if name not in given and name not in names[: len(inputs)] and "?" not in declared
        ]
        if missing:
            raise TypeError(f"{self.name}: missing operands {missing}.")
        rest = tuple(given.get(name) for name in names[len(inputs) : last + 1])
        return (*inputs, *rest), {key: value for key, value in given.items() if key not in by_name}

    @property
    def call_signature(self) -> Signature:
        """The parameters of a call: operands, then attributes by name."""
        parameters = []
        for name in self.inputs:
            plain = name.rstrip("?*")
            kind = Parameter.VAR_POSITIONAL if "*" in name else Parameter.POSITIONAL_OR_KEYWORD
            default = None if "?" in name else Parameter.empty
            parameters.append(Parameter(plain, kind, default=default))
        for name, value in self.attributes.items():
            default = Parameter.empty if value is REQUIRED else value
            parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=default))
        return Signature(parameters)

    def _operands(self, inputs: Sequence[Any]) -> list[Var | None]:
        names = self.inputs
        required = sum(1 for name in names if not name.endswith(("?", "*")))
        variadic = bool(names) and names[-1].endswith("*")
        if len(inputs) < required or (len(inputs) > len(names) and not variadic):
            raise TypeError(
                f"{self.name}: found {len(inputs)} operands, expected {', '.join(names) or 'none'}."
            )
        operands = [None if each is None else as_var(each, self.name) for each in inputs]
        for name, each in zip(names, operands, strict=False):
            if each is None and not name.endswith(("?", "*")):
                raise DTypeError(f"{self.name}: operand {name} is None, expected an array.")
        if not variadic:
            operands.extend([None] * (len(names) - len(operands)))
        return operands

    def _attributes(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if not given and not self.attributes:
            return given
        unknown = sorted(set(given) - set(self.attributes))
        if unknown:
            raise TypeError(
                f"{self.name}: unknown arguments {unknown}, expected {sorted(self.attributes)}."
            )
        complete = {name: given.get(name, default) for name, default in self.attributes.items()}
        missing = [name for name, value in complete.items() if value is REQUIRED]
        if missing:
            raise TypeError(f"{self.name}: missing arguments {missing}.")
        return complete


def _readable(var: Var) -> Array:
    """Return the value; what a graph holds comes read-only, so that no view of it is written."""
    array = var._array()
    if var._ref is None or not array.flags.writeable:
        return array
    guarded: Array = array.view()
    guarded.flags.writeable = False
    return guarded


def all_specs() -> list[OpSpec]:
    """Return every declared operator, in order of declaration."""
    return list(_registry.values())


def find_spec(name: str) -> OpSpec:
    """Return the operator called `name`; KeyError when there is none."""
    return _registry[name]
