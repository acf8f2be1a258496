"""Rounding to integers, with or without an instruction for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnn.codegen.builder import Value
from mnn.codegen.mathematics.floats import copy_sign, layout
from mnn.errors import CodegenError

if TYPE_CHECKING:
    from mnn.codegen.body import Body

__all__ = ["rounded"]

_INSTRUCTIONS = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "rint": "rint"}


def rounded(k: Body, name: str, x: Value) -> Value:
    """Return floor, ceil, trunc, rint (half to even) or round (half away from zero) of x.

    Raises:
        CodegenError: there is no such rounding.
    """
    if name == "round":
        # The number before 1/2, so that what lies just below a half is not rounded up twice.
        form = layout(k)
        half = copy_sign(k, k.const(0.5 - form.unit / 2), x)
        return rounded(k, "trunc", k.add(x, half))
    if name not in _INSTRUCTIONS:
        raise CodegenError(f"kernels have no rounding called {name}.")
    if k.function.target.rounds:
        intrinsic = f"llvm.{_INSTRUCTIONS[name]}.{k.suffix(x.type)}"
        return k.function.intrinsic(intrinsic, x.type, [x])
    return _by_addition(k, name, x)


def _by_addition(k: Body, name: str, x: Value) -> Value:
    """Round by adding a number that leaves no place for a fraction."""
    large = k.const(2.0 ** layout(k).mantissa)
    a = k.abs(x)
    near = k.sub(k.add(a, large), large)
    zero, one = k.const(0.0), k.const(1.0)
    if name == "trunc":
        near = k.sub(near, k.pick(k.compare("gt", near, a), one, zero))
    near = copy_sign(k, near, x)
    if name == "floor":
        near = k.sub(near, k.pick(k.compare("gt", near, x), one, zero))
    if name == "ceil":
        near = k.add(near, k.pick(k.compare("lt", near, x), one, zero))
    # Large numbers have no fraction, and infinities and NaN stay; zeros keep their sign.
    return copy_sign(k, k.pick(k.compare("lt", a, large), near, x), x)
