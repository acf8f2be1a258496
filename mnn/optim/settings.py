"""Numbers that steer an optimizer, checked when they are set."""

from __future__ import annotations

import enum
import math
from typing import Any, overload

import numpy as np

from mnn.errors import DTypeError, SettingError
from mnn.expr.var import Var

__all__ = ["Regularization_Method", "Setting"]


class Regularization_Method(enum.IntEnum):  # noqa: N801 - reference name
    """What weight decay adds to a gradient: wd * sign(w), wd * w, or both."""

    L1 = 0
    L2 = 1
    L1L2 = 2


class Setting:
    """A float attribute of at least 0; accepts numbers, arrays and Vars of one element."""

    def __init__(self, doc: str, *, limit: float = math.inf, included: bool = False) -> None:
        """Describe the attribute: `limit` bounds it, `included` says that it may be reached."""
        self.__doc__ = doc
        self.limit, self.included = limit, included
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, owner: None, kind: type) -> Setting: ...
    @overload
    def __get__(self, owner: object, kind: type) -> float: ...
    def __get__(self, owner: object | None, kind: type) -> Setting | float:
        return self if owner is None else float(owner.__dict__[self.name])

    def __set__(self, owner: Any, value: Any) -> None:
        number = self._number(value)
        fits = 0 <= number < self.limit or (self.included and number == self.limit)
        if not fits:
            if self.limit == math.inf:
                expected = "a finite number of at least 0"
            else:
                expected = f"a number from 0 to {self.limit:g}"
                expected += "" if self.included else ", excluded"
            raise SettingError(f"optimizer: {self.name} is {number}, expected {expected}.")
        owner.__dict__[self.name] = number

    def _number(self, value: Any) -> float:
        array = value._array() if isinstance(value, Var) else np.asarray(value)
        if array.size != 1 or array.dtype.kind not in "biuf":
            raise DTypeError(
                f"optimizer: {self.name} is {value!r}, expected one number, such as 0.01."
            )
        return float(array.reshape(()))
