"""Symbolic sizes: integers that are not known yet, with just enough arithmetic for shape rules.

A dimension is an `int` or a `Symbol`. Arithmetic on symbols builds canonical expressions, so the
same formula over the same symbols compares equal. Nothing is ever guessed: a comparison that
depends on an unknown value is False for `==` and an error for an ordering.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Union

__all__ = ["Dim", "Symbol", "fresh", "is_known", "shape_numbers", "substitute"]

Dim = Union[int, "Symbol"]

_counter = itertools.count()


class Symbol:
    """An unknown non-negative size. Compare with `==`; combine with `+ - * //` and other sizes."""

    __slots__ = ("_hash", "key")

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key
        self._hash = hash(key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Symbol) and self.key == other.key

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        head = self.key[0]
        if head == "symbol":
            return str(self.key[1])
        return f"({self.key[1]!r} {head} {self.key[2]!r})"

    def __add__(self, other: Dim) -> Dim:
        return _add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Dim) -> Dim:
        if isinstance(other, Symbol):
            return 0 if self == other else Symbol(("-", self, other))
        return _add(self, -other)

    def __rsub__(self, other: int) -> Dim:
        return Symbol(("-", other, self))

    def __mul__(self, other: Dim) -> Dim:
        if not isinstance(other, Symbol):
            if other == 0:
                return 0
            if other == 1:
                return self
            if self.key[0] == "*" and not isinstance(self.key[2], Symbol):
                return Symbol(("*", self.key[1], self.key[2] * other))
            return Symbol(("*", self, other))
        left, right = sorted((self, other), key=repr)
        return Symbol(("*", left, right))

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        if not isinstance(other, Symbol):
            if other == 1:
                return self
            if self.key[0] == "*" and not isinstance(self.key[2], Symbol):
                base: Dim = self.key[1]
                factor = self.key[2]
                if factor % other == 0:
                    exact: Dim = base * (factor // other)
                    return exact
        elif self == other:
            return 1
        return Symbol(("//", self, other))

    def __rfloordiv__(self, other: int) -> Dim:
        return Symbol(("//", other, self))

    def __neg__(self) -> Dim:
        return Symbol(("-", 0, self))

    def __bool__(self) -> bool:
        raise TypeError(
            f"the truth of the unknown size {self!r} was asked; test with is_known first"
        )


def _add(left: Symbol, right: Dim) -> Dim:
    if isinstance(right, Symbol):
        first, second = sorted((left, right), key=repr)
        return Symbol(("+", first, second))
    if right == 0:
        return left
    if left.key[0] == "+" and not isinstance(left.key[2], Symbol):
        base: Dim = left.key[1]
        total = left.key[2] + right
        return base if total == 0 else Symbol(("+", base, total))
    return Symbol(("+", left, right))


def fresh(hint: str = "n") -> Symbol:
    """Return a size that equals no other."""
    return Symbol(("symbol", f"{hint}{next(_counter)}"))


def is_known(*dims: Dim) -> bool:
    """Return True when every given size is a number."""
    return not any(isinstance(dim, Symbol) for dim in dims)


def shape_numbers(shape: tuple[Dim, ...]) -> tuple[int, ...]:
    """Return the shape with -1 in place of every unknown size."""
    return tuple(-1 if isinstance(dim, Symbol) else dim for dim in shape)


def substitute(dim: Dim, values: Mapping[Symbol, Dim]) -> Dim:
    """Return `dim` with symbols replaced by `values`; symbols that are not listed stay."""
    if not isinstance(dim, Symbol):
        return dim
    if dim in values:
        return values[dim]
    head = dim.key[0]
    if head == "symbol":
        return dim
    left, right = substitute(dim.key[1], values), substitute(dim.key[2], values)
    if head == "+":
        return left + right
    if head == "-":
        return left - right
    return left * right if head == "*" else left // right
