"""`Var`: the user's handle on a value, computed or still a graph node."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mnn.config import config
from mnn.errors import DTypeError, GraphError, ShapeError
from mnn.expr.enums import data_format
from mnn.expr.enums import data_format as Format  # noqa: N812 - Var has a property of that name
from mnn.expr.evaluate import evaluate
from mnn.expr.exchange import dlpack
from mnn.expr.live import live_vars, register
from mnn.expr.locks import refuse_locked
from mnn.expr.memory import about_to_write, is_unchanging
from mnn.expr.node import CONST, INPUT, TRAINABLE, Cell, Node, Ref, leaf
from mnn.expr.ownership import compute_owned, counts, is_read_once
from mnn.expr.symbols import shape_numbers
from mnn.expr.types import Shape, TensorType
from mnn.expr.write import matching_array, written_shape

__all__ = ["Var", "capture", "live_vars", "register", "var_of"]

Array = np.ndarray[Any, Any]


class Var:
    """An n-dimensional array that may not have been computed yet.

    A Var is in one of three states: *eager* (it holds its array), *leaf* (an input, constant or
    trainable value of a graph) or *node* (the result of a recorded operation, computed when read).
    Vars are made by functions (`const`, `placeholder`, every operation), not by calling this class.
    An eager Var may be *pending*: its array is made when it is needed (see `mnn.expr.pending`).
    """

    __slots__ = ("__weakref__", "_format", "_name", "_pending", "_ref", "_value")

    _value: Array | None
    _ref: Ref | None
    _pending: Any  # a mnn.expr.pending.Pending; set, and not None, in Vars without the other two
    _format: data_format
    _name: str

    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 1000.0

    def __init__(self, value: Array, format: data_format = data_format.NCHW) -> None:
        if not isinstance(value, np.ndarray):
            raise DTypeError(f"Var: found {type(value).__name__}. Make arrays with array or empty.")
        self._value = value
        self._ref = None
        self._format = format
        self._name = ""

    # --- what it is -----------------------------------------------------------------------------

    @property
    def _type(self) -> TensorType:
        ref = self._ref
        if ref is not None:
            return ref.node.types[ref.port]
        value = self._value
        if value is not None:
            return TensorType.of(value, self._format)
        pending = self._pending
        if pending is None:  # another thread has just computed it
            return TensorType.of(self._array(), self._format)
        found: TensorType = pending.types[0]
        return found

    @property
    def shape(self) -> Shape:
        """Sizes; -1 where a size is not known yet.

        Raises:
            ShapeError: not even the number of dimensions is known before the Var is computed.
        """
        if self._value is not None:
            return Shape(self._value.shape)
        shape = self._type.shape
        if shape is None:
            return Shape(self._array().shape)
        return Shape(shape_numbers(shape))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type; equals the member of `expr.dtype` of the same meaning."""
        return self._value.dtype if self._value is not None else self._type.dtype

    @property
    def data_format(self) -> Format:
        """NCHW, NHWC or NC4HW4: the meaning of the dimensions."""
        return self._format

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements; computes the Var when a size is unknown."""
        shape = self.shape
        if -1 in shape:
            shape = Shape(self._array().shape)
        total = 1
        for length in shape:
            total *= length
        return total

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def valid(self) -> bool:
        """True: a Var whose shape cannot be inferred is never made."""
        return True

    @property
    def name(self) -> str:
        """Name in saved graphs."""
        if self._ref is not None:
            return self._ref.node.names.get(self._ref.port, self._name)
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        if not isinstance(name, str):
            raise DTypeError(f"Var.name: found {type(name).__name__}, expected str.")
        self._name = name
        ref = self._ref
        if ref is None:
            return
        other = ref.node.names.get(ref.port)
        if other is not None and other != name and not ref.node.is_leaf:
            # Equal operations share one node; a second name needs a node of its own.
            node = ref.node
            own = Node(node.kind, node.operation, node.inputs, node.attributes, node.types)
            self._ref = ref = Ref(own, ref.port)
        ref.node.names[ref.port] = name

    @property
    def op_type(self) -> str:
        """`Const`, `Input`, `Trainable`, or the name of the operation in `.mnn` files."""
        if self._ref is None:
            return CONST
        node = self._ref.node
        if node.operation is None:
            return node.kind
        return str(getattr(node.operation, "op_type", node.kind))

    @property
    def inputs(self) -> list[Var]:
        """Operands of the recorded operation; empty for leaves and eager results."""
        if self._ref is None:
            return []
        return [var_of(ref) for ref in self._ref.node.inputs if ref is not None]

    # --- reading and writing ---------------------------------------------------------------------

    def _array(self) -> Array:
        """Return the value, computing it if needed; the array must not be modified."""
        value = self._value
        if value is not None:
            return value
        ref = self._ref
        if ref is None:
            from mnn.expr.pending import settle

            return settle(self)
        value = evaluate([ref])[0]
        if config.lazy_mode >= 2 and not ref.node.is_leaf:
            self._value = value
        return value

    def read(self) -> Array:
        """Return the value as an ndarray.

        The array is writable. Writing it changes a constant, input or trainable Var; for the result
        of a recorded operation it is the caller's own copy. It stays valid after the Var is gone.

        Raises:
            EvaluationError: an input below this Var was never written.
        """
        if self._ref is None:
            return self._writable()
        cell = self._ref.node.cell
        if cell is None:
            if sys.getrefcount(self) == counts().read and is_read_once(self):
                return compute_owned(self._ref)
            own: Array = self._array().copy()
            return own
        array = self._writable()
        cell.exposed = True
        cell.touch()
        return array

    def _writable(self) -> Array:
        array = self._array()
        if array.flags.writeable:
            about_to_write(array)
            return array
        refuse_locked(array)
        cell = self._ref.node.cell if self._ref is not None else None
        own: Array = array.copy()
        if cell is None:
            self._value = own
        else:
            cell.array = own
        return own

    def read_as_tuple(self) -> tuple[Any, ...]:
        """Return all elements in order as one flat tuple of Python numbers."""
        return tuple(self._array().ravel().tolist())

    def write(self, data: Any) -> None:
        """Overwrite the value.

        Args:
            data: list, tuple or array with as many elements as the Var, of any shape; for an input
                with unknown sizes, an array whose shape fills them in. An int Var takes no floats.

        Raises:
            GraphError: this Var is the result of a recorded operation.
            ShapeError: the number of elements differs.
            DTypeError: the elements cannot become the Var's dtype.
        """
        if self._ref is None:
            array = self._array()
            new = matching_array(data, array.shape, array.dtype)
            if array.flags.writeable:
                about_to_write(array)
                array[...] = new
            else:
                refuse_locked(array)
                self._value = new
            return
        from mnn.expr.rewire import retype

        cell = self._cell("write")
        type = self._ref.node.types[0]
        shape = written_shape(data, type)
        new = matching_array(data, shape, type.dtype)
        if not type.is_static:
            self.resize(shape)
            cell = self._cell("write")
        if cell.array is not None and cell.array.shape == shape and cell.array.flags.writeable:
            cell.array[...] = new
            cell.touch()
        else:
            cell.write(new)
        if type.value is not None:
            # Shape rules may have looked at the old value: have them look again.
            retype(self, leaf_type(new, self._format, self._ref.node.kind))

    def _cell(self, what: str) -> Cell:
        cell = self._ref.node.cell if self._ref is not None else None
        if cell is None:
            raise GraphError(
                f"{what}: this Var is the result of {self.op_type}, which is computed, not stored. "
                "Expected an input, constant or trainable Var. Use fix_as_const() or replace()."
            )
        return cell

    @property
    def ptr(self) -> Any:
        """The address of the data as a ctypes pointer; keep the Var alive while using it."""
        return self.read().ctypes.data_as(__import__("ctypes").c_void_p)

    def sync(self) -> None:
        """Wait until the value is computed."""
        self._array()

    # --- kinds -----------------------------------------------------------------------------------

    def _become_leaf(self, kind: str) -> Var:
        from mnn.expr.rewire import redirect

        array = self._array()
        if self._ref is None or not self._ref.node.is_leaf:
            array = array.copy()
        node = leaf(kind, leaf_type(array, self._format, kind), Cell(array))
        if self.name:
            node.names[0] = self.name
        redirect(self, Ref(node, 0))
        self._value = None
        return self

    def fix_as_placeholder(self) -> None:
        """Compute the value and turn this Var into a writable input that holds it."""
        self._become_leaf(INPUT)

    def fix_as_const(self) -> None:
        """Compute the value and turn this Var into a constant."""
        if self._ref is not None or config.lazy:
            self._become_leaf(CONST)

    def fix_as_trainable(self) -> None:
        """Compute the value and turn this Var into a trainable parameter."""
        self._become_leaf(TRAINABLE)

    def close(self) -> None:
        """Detach this Var from its operands: it keeps its value as a constant."""
        if self._ref is not None and not self._ref.node.is_leaf:
            self._become_leaf(CONST)

    # --- rewiring --------------------------------------------------------------------------------

    def replace(self, src: Var) -> None:
        """Put `src` in the place of this Var in every recorded graph that uses it.

        Raises:
            ShapeError, DTypeError: a user of this Var does not accept `src`; nothing is changed.
        """
        from mnn.expr.rewire import redirect

        if self._ref is None:
            if self._value is None:
                self._array()
            if src._ref is None:
                self._value, self._format = src._array(), src._format
                return
            self._ref, self._value = src._ref, src._value
            self._format = src._format
            register(self)
            return
        redirect(self, capture(src))
        self._format = src._format
        self._value = None

    def copy_from(self, src: Var) -> None:
        """Take the value of `src`: a leaf copies the data, a recorded Var is rewired to it.

        Raises:
            ShapeError: shapes differ.
        """
        if self._ref is None or self._ref.node.is_leaf:
            if shape_numbers(self.shape) != shape_numbers(src.shape) and -1 not in self.shape:
                raise ShapeError(f"copy_from: src has shape {src.shape}, expected {self.shape}.")
            self.write(src._array())
        else:
            self.replace(src)

    def set_inputs(self, inputs: Sequence[Var]) -> None:
        """Apply the recorded operation of this Var to other operands.

        Raises:
            GraphError: this Var is not the result of a recorded operation.
            ShapeError, DTypeError: the operation does not accept the operands.
        """
        from mnn.expr.rewire import set_inputs

        set_inputs(self, inputs)

    def set_order(self, format: Format) -> None:
        """Relabel the meaning of the dimensions; no data moves."""
        from mnn.expr.rewire import redirect, retype

        self._format = data_format(format)
        ref = self._ref
        if ref is None:
            return
        if ref.node.is_leaf:
            retype(self, ref.type.with_format(self._format))
        else:
            from mnn.expr.modes import recording

            with recording():
                redirect(self, capture(self._relabelled(self._format)))

    def reorder(self, format: Format) -> None:
        """Relabel the meaning of the dimensions, like `set_order`."""
        self.set_order(format)

    def resize(self, shape: Any, *sizes: int, refcheck: bool = True) -> None:
        """Change the shape of an input or constant; results computed from it follow.

        Data of equal element count is kept, otherwise an input needs a new `write` and a constant
        keeps what fits and is zero beyond.

        Args:
            shape, sizes: one sequence of ints, or the ints.
            refcheck: accepted for compatibility; views that other Vars hold keep the old memory.

        Raises:
            GraphError: this Var is the result of a recorded operation.
            ShapeError: a size is negative, or an operation that uses this Var rejects the shape;
                nothing is changed then.
        """
        from mnn.expr.rewire import resize

        resize(self, shape if isinstance(shape, (list, tuple)) else (int(shape), *sizes))

    # --- Python protocols ------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        temporary = sys.getrefcount(self) == counts().asked
        if self._ref is not None and temporary and copy is not False and is_read_once(self):
            own = compute_owned(self._ref)
            return own if dtype is None else own.astype(dtype, copy=False)
        array = self._array()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ValueError("asarray(copy=False): a change of dtype needs a copy.")
            converted: Array = array.astype(dtype)
            return converted
        if copy or (self._ref is not None and copy is None):
            array = array.copy()
        elif array.flags.writeable:
            about_to_write(array)
        return array

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: Any = None,
        dl_device: Any = None,
        copy: Any = None,
    ) -> Any:
        return dlpack(self, stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self.read())  # type: ignore[arg-type]

    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            raise TypeError("len() of a Var without dimensions")
        return shape[0] if shape[0] >= 0 else len(self._array())

    def __iter__(self) -> Iterator[Var]:
        if not self.shape:
            raise TypeError("iteration over a Var without dimensions")
        return (self[index] for index in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool(np.any((self == value)._array()))

    def _scalar(self, what: str) -> Any:
        array = self._array()
        if array.size != 1:
            raise TypeError(
                f"{what}: the Var has shape {self.shape}, expected exactly one element. "
                "Index it first, or use any() or all()."
            )
        return array.reshape(()).item()

    def __bool__(self) -> bool:
        array = self._array()
        if array.size != 1:
            raise ValueError(
                f"bool: the truth of a Var of shape {self.shape} is ambiguous. Use any() or all()."
            )
        return bool(array.reshape(()).item())

    def __float__(self) -> float:
        return float(self._scalar("float"))

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __complex__(self) -> complex:
        return complex(self._scalar("complex"))

    def __index__(self) -> int:
        array = self._array()
        if array.ndim or array.dtype.kind not in "iu":
            raise TypeError(
                f"index: found {array.dtype.name} of shape {self.shape}, expected one integer."
            )
        return int(array.item())

    def __repr__(self) -> str:
        if self._value is not None:
            return repr(self._value)
        ref = self._ref
        if ref is not None and ref.node.cell is not None and ref.node.cell.array is not None:
            return repr(ref.node.cell.array)
        type = self._type
        shape = "?" if type.shape is None else list(shape_numbers(type.shape))
        kind = "" if ref is None else f"{self.op_type}, "
        return f"Var({kind}shape={shape}, dtype={type.dtype.name}, not computed)"

    def __str__(self) -> str:
        return str(self._array())

    def __format__(self, spec: str) -> str:
        return format(self._scalar("format"), spec) if spec else str(self)

    def __copy__(self) -> Var:
        computed = self._ref is not None and not self._ref.node.is_leaf
        return self if computed else self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Var:
        from mnn.expr.copying import copied

        return copied(self)

    def __reduce__(self) -> tuple[Any, ...]:
        from mnn.expr.copying import reduced

        return reduced(self)

    if TYPE_CHECKING:
        # Attached by the operator registry (mnn.ops.attach).
        def __getitem__(self, index: Any) -> Var: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __add__(self, other: Any) -> Var: ...
        def __radd__(self, other: Any) -> Var: ...
        def __sub__(self, other: Any) -> Var: ...
        def __rsub__(self, other: Any) -> Var: ...
        def __mul__(self, other: Any) -> Var: ...
        def __rmul__(self, other: Any) -> Var: ...
        def __truediv__(self, other: Any) -> Var: ...
        def __rtruediv__(self, other: Any) -> Var: ...
        def __floordiv__(self, other: Any) -> Var: ...
        def __rfloordiv__(self, other: Any) -> Var: ...
        def __mod__(self, other: Any) -> Var: ...
        def __rmod__(self, other: Any) -> Var: ...
        def __divmod__(self, other: Any) -> tuple[Var, Var]: ...
        def __rdivmod__(self, other: Any) -> tuple[Var, Var]: ...
        def __pow__(self, other: Any) -> Var: ...
        def __rpow__(self, other: Any) -> Var: ...
        def __matmul__(self, other: Any) -> Var: ...
        def __rmatmul__(self, other: Any) -> Var: ...
        def __and__(self, other: Any) -> Var: ...
        def __rand__(self, other: Any) -> Var: ...
        def __or__(self, other: Any) -> Var: ...
        def __ror__(self, other: Any) -> Var: ...
        def __xor__(self, other: Any) -> Var: ...
        def __rxor__(self, other: Any) -> Var: ...
        def __lshift__(self, other: Any) -> Var: ...
        def __rlshift__(self, other: Any) -> Var: ...
        def __rshift__(self, other: Any) -> Var: ...
        def __rrshift__(self, other: Any) -> Var: ...
        def __neg__(self) -> Var: ...
        def __pos__(self) -> Var: ...
        def __invert__(self) -> Var: ...
        def __abs__(self) -> Var: ...
        def __eq__(self, other: Any) -> Var: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Var: ...  # type: ignore[override]
        def __lt__(self, other: Any) -> Var: ...
        def __le__(self, other: Any) -> Var: ...
        def __gt__(self, other: Any) -> Var: ...
        def __ge__(self, other: Any) -> Var: ...
        def __getattr__(self, name: str) -> Any: ...


def leaf_type(array: Array, format: data_format, kind: str) -> TensorType:
    """Return the type of a leaf; only constants let shape rules see their value."""
    if kind == CONST:
        return TensorType.of(array, format)
    return TensorType(array.shape, array.dtype, format)


def var_of(ref: Ref, value: Array | None = None) -> Var:
    """Return a Var on a graph result; `value` is what it was computed to, if it was."""
    var = object.__new__(Var)
    var._value = value
    var._ref = ref
    var._format = ref.node.types[ref.port].format
    var._name = ""
    register(var)
    return var


def capture(var: Var) -> Ref:
    """Return the graph result of `var`, turning an eager Var into a constant leaf.

    A leaf owns its memory: an array that somebody else could write is copied, so a graph never
    changes behind the back of its cache.
    """
    ref = var._ref
    if ref is not None:
        return ref
    array = var._array()
    if not is_unchanging(array):
        array = array.copy()
    node = leaf(CONST, TensorType.of(array, var._format), Cell(array))
    if var._name:
        node.names[0] = var._name
    var._ref = Ref(node, 0)
    var._value = None
    register(var)
    return var._ref
