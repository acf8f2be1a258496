"""The elementwise family: broadcasting, dtype rules, gradients and messages, said once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import (
    common_dtype,
    default_float,
    float_result,
    kind_of,
    python_scalar_dtype,
    weak_result,
)
from mnn.expr.symbols import Dim, Symbol, fresh, shape_numbers
from mnn.expr.types import VALUE_LIMIT, TensorType
from mnn.expr.var import Var
from mnn.ops.codec import Codec
from mnn.ops.operands import as_var, as_vars, literal
from mnn.ops.spec import BadCall, GradCall, OpSpec, Sample
from mnn.records import dataclass

__all__ = [
    "ARITHMETIC",
    "BITWISE",
    "COMPARISON",
    "DIVISION",
    "FLOAT",
    "LOGICAL",
    "NUMERIC",
    "ORDERED",
    "POWER",
    "REAL_FLOAT",
    "SHIFT",
    "DTypeRule",
    "broadcast_shapes",
    "elementwise",
    "fit_gradient",
    "known_value",
    "promote",
    "unify_operands",
]

Array = np.ndarray[Any, Any]
_BOOL: np.dtype[Any] = np.dtype(np.bool_)
_INT8: np.dtype[Any] = np.dtype(np.int8)


@dataclass(frozen=True)
class DTypeRule:
    """Element types of an elementwise operator.

    Attributes:
        kinds: accepted NumPy kinds (b bool, i signed, u unsigned, f float, c complex).
        to_float: integers and bools are computed as float32.
        result: dtype of the result; None: the type of the computation.
        expected: words for messages.
        bools: dtype in which bools are computed; None: bool.
        real: complex numbers give a real result.
    """

    kinds: str
    expected: str
    to_float: bool = False
    result: np.dtype[Any] | None = None
    bools: np.dtype[Any] | None = None
    real: bool = False

    def compute_dtype(self, name: str, dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
        """Return the dtype in which operands of `dtypes` are computed, or raise DTypeError."""
        common = dtypes[0] if len(dtypes) == 1 else promote(name, dtypes)
        if common.kind not in self.kinds:
            raise DTypeError(
                f"{name}: found {', '.join(each.name for each in dtypes)}, expected "
                f"{self.expected}. Convert with astype first."
            )
        if common == _BOOL and self.bools is not None:
            return self.bools
        return float_result(common) if self.to_float else common

    def result_dtype(self, computed: np.dtype[Any]) -> np.dtype[Any]:
        """Return the dtype of a result that is computed as `computed`."""
        if self.real and computed.kind == "c":
            return np.dtype(np.float32 if computed == np.complex64 else np.float64)
        return self.result or computed


NUMERIC = DTypeRule("biufc", "numbers")
ARITHMETIC = DTypeRule("iufc", "numbers (not bool)")
ORDERED = DTypeRule("biuf", "real numbers")
FLOAT = DTypeRule("biufc", "numbers", to_float=True)
REAL_FLOAT = DTypeRule("biuf", "real numbers", to_float=True)
BITWISE = DTypeRule("biu", "integers or bools")
COMPARISON = DTypeRule("biufc", "numbers", result=_BOOL)
LOGICAL = DTypeRule("biufc", "numbers", result=_BOOL)
# NumPy has no division, power or shift of bools: it takes them for int8.
POWER = DTypeRule("biufc", "numbers", bools=_INT8)
DIVISION = DTypeRule("biuf", "real numbers", bools=_INT8)
SHIFT = DTypeRule("biu", "integers or bools", bools=_INT8)


def promote(name: str, dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """Return NumPy's common type of `dtypes`."""
    first = dtypes[0]
    if all(each is first for each in dtypes):
        return first
    try:
        return common_dtype(*dtypes)
    except TypeError as error:
        raise DTypeError(
            f"{name}: {', '.join(map(str, dtypes))} have no common type. Convert with astype first."
        ) from error


def broadcast_shapes(name: str, shapes: Sequence[tuple[Dim, ...] | None]) -> tuple[Dim, ...] | None:
    """Return the broadcast shape of `shapes` (NumPy's rule), None when a rank is unknown.

    Raises:
        ShapeError: two known sizes differ and neither is 1.
    """
    if any(shape is None for shape in shapes):
        return None
    known = [shape for shape in shapes if shape is not None]
    rank = max((len(shape) for shape in known), default=0)
    result: list[Dim] = []
    for axis in range(-rank, 0):
        size: Dim = 1
        for shape in known:
            if len(shape) >= -axis:
                size = _broadcast_dim(name, size, shape[axis], known)
        result.append(size)
    return tuple(result)


def _broadcast_dim(name: str, left: Dim, right: Dim, shapes: Sequence[tuple[Dim, ...]]) -> Dim:
    if left == right or right == 1:
        return left
    if left == 1:
        return right
    if isinstance(left, Symbol):
        return fresh("broadcast") if isinstance(right, Symbol) else right
    if isinstance(right, Symbol):
        return left
    found = " and ".join(str(shape_numbers(shape)) for shape in shapes)
    raise ShapeError(
        f"{name}: shapes {found} do not broadcast: sizes {left} and {right} meet on one axis. "
        "Expected equal sizes or 1, counted from the last axis. Reshape or transpose an operand."
    )


def known_value(
    reference: Callable[..., Any],
    types: Sequence[TensorType | None],
    attributes: Mapping[str, Any],
    result: TensorType,
) -> TensorType:
    """Return `result` with its value filled in when it is small and every input's is known."""
    if result.dtype.kind not in "iub" or not result.is_static:
        return result
    count = math.prod(shape_numbers(result.shape or ()))
    if count > VALUE_LIMIT or any(each is not None and each.value is None for each in types):
        return result
    with np.errstate(all="ignore"):
        value = np.array(
            reference(*(None if each is None else each.value for each in types), **attributes)
        )
    value.flags.writeable = False
    return TensorType(result.shape, result.dtype, result.format, value)


def unify_operands(
    name: str, operands: Sequence[Any], *, exact: bool = False, to_float: bool = False
) -> list[Var]:
    """Return operands as Vars, Python numbers taking the dtype of the arrays they meet.

    Args:
        name: operator, for messages.
        operands: what the user passed.
        exact: the numbers are compared, not computed with: keep their value whatever the dtype.
        to_float: the result is a float, so that no number is too large for an integer array.
    """
    if not any(_is_weak(each) for each in operands):
        return as_vars(operands, name)
    held = [None if _is_weak(each) else as_var(each, name) for each in operands]
    dtypes = [each.dtype for each in held if each is not None]
    if not dtypes:
        return [literal(each, _met(each, operands, exact)) for each in operands]
    common = promote(name, dtypes)
    if exact:
        return [
            literal(each, _exact_dtype(common, each)) if variable is None else variable
            for each, variable in zip(operands, held, strict=True)
        ]
    for each, variable in zip(operands, held, strict=True):
        if variable is None:
            common = weak_result(common, each)
    if to_float and not all(_holds(common, each) for each in operands if _is_weak(each)):
        common = float_result(common)
    return [
        literal(each, common) if variable is None else _weakened(variable, common)
        for each, variable in zip(operands, held, strict=True)
    ]


def _met(number: Any, numbers: Sequence[Any], exact: bool) -> np.dtype[Any]:
    """Return the dtype of a Python number among others: with a float, ints are float32, too."""
    own = python_scalar_dtype(number)
    if exact or own.kind == "c":
        return own
    kinds = {type(each) for each in numbers}
    if complex in kinds:
        return python_scalar_dtype(1j)
    return default_float if float in kinds else own


def _holds(dtype: np.dtype[Any], number: Any) -> bool:
    """Return False for an int outside the range of an integer dtype."""
    if dtype.kind not in "iu" or not isinstance(number, int):
        return True
    limits = np.iinfo(dtype)
    return limits.min <= number <= limits.max


def _weakened(variable: Var, common: np.dtype[Any]) -> Var:
    """Return an operand fit for arithmetic with a Python number (rule 3 of `mnn.expr.dtypes`)."""
    if variable.dtype.kind in "biu" and kind_of(common) in "fc":
        from mnn.ops.convert import cast

        return cast(variable, common)
    return variable


def _exact_dtype(common: np.dtype[Any], scalar: bool | int | float | complex) -> np.dtype[Any]:
    if isinstance(scalar, float) and common.kind in "biu":
        return np.dtype(np.float64)
    if isinstance(scalar, int) and common.kind in "iu":
        return common if _holds(common, scalar) else python_scalar_dtype(scalar)
    return weak_result(common, scalar)


def _is_weak(value: Any) -> bool:
    # numpy.float64 is a Python float too, but it carries a dtype of its own.
    return isinstance(value, (bool, int, float, complex)) and not isinstance(value, np.generic)


def fit_gradient(gradient: Var | None, operand: Var) -> Var | None:
    """Return `gradient` summed and cast to the shape and dtype of `operand`."""
    if gradient is None or kind_of(operand.dtype) not in "fc":
        return None
    have, want = gradient._type, operand._type
    if have.shape is None or have.shape != want.shape:
        from mnn.ops.broadcast import sum_like

        gradient = sum_like(gradient, operand)
    if have.dtype != want.dtype:
        from mnn.ops.convert import cast

        gradient = cast(gradient, want.dtype)
    return gradient


@dataclass(frozen=True, eq=False)
class Elementwise(OpSpec):
    """An operator that works on each element alone, with broadcasting.

    Attributes:
        rule: element types accepted, computed in and returned.
        exact_scalars: Python numbers keep their value instead of taking the arrays' dtype.
    """

    rule: DTypeRule = NUMERIC
    exact_scalars: bool = False

    def __call__(self, *inputs: Any, **attributes: Any) -> Any:
        """Apply the operator; Python numbers are weak."""
        if attributes:
            inputs, attributes = self.named_operands(inputs, attributes)
        if len(inputs) != len(self.inputs):
            return super().__call__(*inputs, **attributes)
        operands = unify_operands(
            self.name, inputs, exact=self.exact_scalars, to_float=self.rule.to_float
        )
        return self.apply(operands, self._attributes(attributes))


def elementwise(
    name: str,
    inputs: str,
    *,
    reference: Callable[..., Any],
    rule: DTypeRule,
    body: Callable[..., Any] | None = None,
    grad: Callable[..., Any] | None = None,
    attributes: Mapping[str, Any] | None = None,
    codec: Codec | None = None,
    onnx: str | None = None,
    samples: Sequence[Sample] = (),
    bad: Sequence[BadCall] = (),
    doc: str = "",
    family: str = "elementwise",
) -> Elementwise:
    """Declare an elementwise operator.

    Args:
        name: public name.
        inputs: operand names separated by spaces.
        reference: array meaning in NumPy; operands arrive in one common dtype.
        rule: accepted and resulting element types.
        body: scalar meaning, in terms of kernel-builder methods.
        grad: `(g, *inputs, y, **attributes) -> gradient or gradients`; shapes and dtypes are fitted
            to
            the operands afterwards. `None` results mean zero.
        attributes: defaults by name.
    """
    names = tuple(inputs.split())

    def compute(*arrays: Array, **values: Any) -> Array:
        dtype = rule.compute_dtype(name, [each.dtype for each in arrays])
        result: Array = np.asarray(
            reference(
                *(each if each.dtype == dtype else each.astype(dtype) for each in arrays), **values
            )
        )
        wanted = rule.result_dtype(dtype)
        return result if result.dtype == wanted else result.astype(wanted)

    def infer(types: Sequence[TensorType], values: Mapping[str, Any]) -> TensorType:
        dtype = rule.compute_dtype(name, [each.dtype for each in types])
        shape = broadcast_shapes(name, [each.shape for each in types])
        leading = max(types, key=lambda each: -1 if each.rank is None else each.rank)
        result = TensorType(shape, rule.result_dtype(dtype), leading.format)
        return known_value(compute, types, values, result)

    def gradient(call: GradCall) -> Sequence[Var | None]:
        if grad is None:
            return [None] * len(names)
        operands = [each for each in call.inputs if each is not None]
        found = grad(call.grad, *operands, call.outputs[0], **call.attributes)
        results = found if isinstance(found, (tuple, list)) else (found,)
        return [
            fit_gradient(each, operand) for each, operand in zip(results, operands, strict=True)
        ]

    return Elementwise(
        name,
        names,
        infer,
        compute,
        family,
        attributes=dict(attributes or {}),
        grad=gradient,
        body=body,
        codec=codec,
        onnx=onnx,
        samples=tuple(samples),
        bad=tuple(bad),
        doc=doc,
        rule=rule,
        exact_scalars=rule in (COMPARISON, LOGICAL),
    )
