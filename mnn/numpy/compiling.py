"""`compile`: a function of arrays as one compiled graph, kept for calls of the same shapes."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as _np

from mnn.errors import EvaluationError, GraphError
from mnn.expr.evaluate import run_graph
from mnn.expr.graph import Graph
from mnn.expr.trace import trace
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.operands import array_of, as_var
from mnn.records import dataclass

__all__ = ["compile"]

Array = _np.ndarray[Any, Any]
Function = Callable[..., Any]

_KEPT = 32


@dataclass(frozen=True)
class _Place:
    """Where an array is among the arguments or the results.

    Attributes:
        number: in the list of arrays.
    """

    number: int


@dataclass(frozen=True, eq=False)
class _Traced:
    """A function for arguments of some shapes.

    Attributes:
        graph: from the arrays among the arguments to those among the results.
        result: what the function returned, with places instead of arrays.
        constants: arrays that the function used without being given them.
    """

    graph: Graph
    result: Any
    constants: tuple[Array, ...]


def compile(function: Function) -> Function:
    """Return a function that computes what `function` does as one compiled graph.

    In ordinary calls large arrays are computed together anyway; a compiled function also saves
    finding out what is to be computed, which pays for small arrays and long functions. It is made
    anew for other shapes, dtypes and values of arguments that are no arrays, and the last 32 are
    kept.

    Args:
        function: takes and returns Vars, numbers, and lists, tuples and dicts of them. It runs
            once for each kind of arguments, with Vars that have no values: it may look at shapes
            and dtypes, but not at elements. Arrays that it uses without being given them count as
            constants. Keep it free of side effects.

    Returns:
        The compiled function. Its results carry no gradients. `compiled.graph(*arguments)` is the
        graph for such arguments.

    Raises:
        TypeError: `function` cannot be called.
        GraphError: in a call: `function` asked for the value of an element.
    """
    if not callable(function):
        raise TypeError(f"compile: found {type(function).__name__}, expected a function.")
    kept: OrderedDict[Hashable, _Traced] = OrderedDict()
    lock = threading.Lock()

    def traced(arguments: Any, arrays: list[Array]) -> _Traced:
        key = (_frozen(arguments), tuple((each.shape, each.dtype) for each in arrays))
        with lock:
            found = kept.get(key)
            if found is not None:
                kept.move_to_end(key)
                return found
        found = _trace(function, arguments, arrays)
        with lock:
            kept[key] = found
            if len(kept) > _KEPT:
                kept.popitem(last=False)
        return found

    @functools.wraps(function)
    def compiled(*positional: Any, **named: Any) -> Any:
        arrays: list[Array] = []
        arguments = _taken((positional, named), arrays)
        found = traced(arguments, arrays)
        results = run_graph(found.graph, arrays)
        taken = {id(each) for each in (*arrays, *found.constants)}
        return _put(found.result, [Var(_own(each, taken)) for each in results])

    def graph(*positional: Any, **named: Any) -> Graph:
        """Return the graph for arguments like these."""
        arrays: list[Array] = []
        return traced(_taken((positional, named), arrays), arrays).graph

    compiled.graph = graph  # type: ignore[attr-defined]
    return compiled


def _own(result: Array, taken: set[int]) -> Array:
    """Return a result with memory of its own: NumPy may return an operand, or a view of one."""
    if id(result) in taken or result.base is not None or not result.flags.writeable:
        result = _np.array(result)
    taken.add(id(result))
    return result


def _trace(function: Function, arguments: Any, arrays: list[Array]) -> _Traced:
    results: list[Any] = []

    def run(*given: Var) -> list[Var]:
        positional, named = _put(arguments, list(given))
        found: list[Any] = []
        results.append(_taken(function(*positional, **named), found, as_arrays=False))
        return [as_var(each, "compile") for each in found]

    types = [TensorType(each.shape, each.dtype) for each in arrays]
    try:
        graph = trace(run, types)
    except EvaluationError as error:
        raise GraphError(
            f"compile: {getattr(function, '__name__', 'the function')} asked for the value of an "
            f"array, which has none while the function is compiled ({error}). Choose with "
            "where() instead of if, or leave the function as it is."
        ) from error
    cells = [node.cell for node in graph.leaves() if node.cell is not None]
    constants = tuple(each.array for each in cells if each.array is not None)
    return _Traced(graph, results[0], constants)


def _taken(value: Any, arrays: list[Any], *, as_arrays: bool = True) -> Any:
    """Return a structure with places instead of arrays, which are added to `arrays`."""
    if isinstance(value, (Var, _np.ndarray)):
        arrays.append(array_of(value, "compile") if as_arrays else value)
        return _Place(len(arrays) - 1)
    if type(value) in (list, tuple):
        return type(value)(_taken(each, arrays, as_arrays=as_arrays) for each in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_taken(each, arrays, as_arrays=as_arrays) for each in value))
    if type(value) is dict:
        return {key: _taken(each, arrays, as_arrays=as_arrays) for key, each in value.items()}
    return value


def _put(value: Any, arrays: list[Var]) -> Any:
    """Return a structure with arrays in their places."""
    if isinstance(value, _Place):
        return arrays[value.number]
    if type(value) in (list, tuple):
        return type(value)(_put(each, arrays) for each in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_put(each, arrays) for each in value))
    if type(value) is dict:
        return {key: _put(each, arrays) for key, each in value.items()}
    return value


def _frozen(value: Any) -> Hashable:
    """Return what two structures have in common when they hold equal values."""
    if isinstance(value, _Place):
        return value
    if isinstance(value, (list, tuple)):
        return type(value), tuple(_frozen(each) for each in value)
    if isinstance(value, dict):
        return dict, tuple((key, _frozen(each)) for key, each in value.items())
    try:
        hash(value)
    except TypeError as error:
        raise TypeError(
            f"compile: an argument is a {type(value).__name__}, which cannot be told from others. "
            "Pass arrays, numbers, strings, and lists, tuples and dicts of them."
        ) from error
    return type(value), value
