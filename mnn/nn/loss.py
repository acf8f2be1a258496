"""Losses: each is a number per row, averaged over the rows."""

from __future__ import annotations

from typing import Any

from mnn.errors import ShapeError
from mnn.expr.dtypes import kind_of
from mnn.expr.var import Var
from mnn.ops.arithmetic import maximum
from mnn.ops.convert import cast
from mnn.ops.operands import as_var
from mnn.ops.reduce import reduce_mean, reduce_sum
from mnn.ops.unary import abs, log, square

__all__ = ["cross_entropy", "hinge", "kl", "mae", "mse"]


def _checked(name: str, predicts: Any, targets: Any) -> tuple[Var, Var]:
    p, t = as_var(predicts, name), as_var(targets, name)
    same = len(p.shape) == len(t.shape) and all(
        one == two or -1 in (one, two) for one, two in zip(p.shape, t.shape, strict=True)
    )
    if not same or not p.ndim:
        raise ShapeError(
            f"{name}: predictions have shape {p.shape} and targets {t.shape}, expected equal "
            "shapes (rows, values). Use one_hot for class numbers."
        )
    if t.dtype.kind in "biu" and kind_of(p.dtype) == "f":
        # Classes from one_hot are integers: without this, NumPy's promotion gives float64.
        t = cast(t, p.dtype)
    return p, t


def _rows(per_element: Var) -> Var:
    axes = list(range(1, per_element.ndim))
    return reduce_mean(reduce_sum(per_element, axes) if axes else per_element)


def mse(predicts: Any, targets: Any) -> Var:
    """Return the mean over rows of the sum of squared differences."""
    p, t = _checked("mse", predicts, targets)
    return _rows(square(p - t))


def mae(predicts: Any, targets: Any) -> Var:
    """Return the mean over rows of the sum of absolute differences."""
    p, t = _checked("mae", predicts, targets)
    return _rows(abs(p - t))


def cross_entropy(predicts: Any, targets: Any) -> Var:
    """Return the mean over rows of `-sum(target * log(prediction))`.

    Args:
        predicts: probabilities, such as softmax gives, `(rows, classes)`.
        targets: probabilities of the same shape.
    """
    p, t = _checked("cross_entropy", predicts, targets)
    return _rows(t * log(p)) * -1.0


def kl(predicts: Any, targets: Any) -> Var:
    """Return the mean over rows of `sum(prediction * log(prediction / target))`."""
    p, t = _checked("kl", predicts, targets)
    return _rows(p * log(p / t))


def hinge(predicts: Any, targets: Any) -> Var:
    """Return the mean over rows of `sum(max(0, 1 - prediction * target))`."""
    p, t = _checked("hinge", predicts, targets)
    return _rows(maximum(1.0 - p * t, 0.0))
