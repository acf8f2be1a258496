"""Gradients flow through what is composed of operators: they agree with differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mnn.numpy as mnp
from mnn import expr
from mnn.config import config
from mnn.expr.grad import gradients
from mnn.expr.var import Var

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((4, 5))
HOLED = np.where(np.arange(20).reshape(4, 5) == 7, np.nan, X)
PLACES = np.array([0.5, 2.2, 7, -1])
SOME = np.arange(4)[:, None] > 0

CALLS: dict[str, tuple[Callable[[Any], Any], np.ndarray[Any, Any]]] = {
    "average": (lambda x: mnp.average(x, 0, weights=np.arange(4.0) + 1), X),
    "choose": (lambda x: mnp.choose(np.array([0, 1, 0, 1, 1]), [x[0], x[1]]), X),
    "convolve": (lambda x: mnp.convolve(x[0], x[1, :3]), X),
    "corrcoef": (mnp.corrcoef, X),
    "correlate": (lambda x: mnp.correlate(x[0, :3], x[1], "full"), X),
    "cov": (mnp.cov, X),
    "cumulative_prod": (lambda x: mnp.cumulative_prod(x, axis=0, include_initial=True), X),
    "extract": (lambda x: mnp.extract(X > 0, x), X),
    "fmax": (lambda x: mnp.fmax(x, 0.2), X),
    "gradient": (lambda x: mnp.gradient(x, axis=0), X),
    "i0": (lambda x: mnp.i0(x * 4), X),
    "interp of heights": (lambda x: mnp.interp(PLACES, np.arange(5.0), x[0]), X),
    "interp of places": (lambda x: mnp.interp(x[0] + 2, np.arange(5.0), X[1]), X),
    "ldexp": (lambda x: mnp.ldexp(x, 2), X),
    "logaddexp": (lambda x: mnp.logaddexp(x, x * x), X),
    "max": (lambda x: mnp.max(x, 0, initial=0.1), X),
    "median": (lambda x: mnp.median(x, 1), X),
    "modf": (lambda x: mnp.modf(x * 3)[0], X),
    "nan_to_num": (mnp.nan_to_num, HOLED),
    "nanmax": (lambda x: mnp.nanmax(x, 0), HOLED),
    "nanmean": (lambda x: mnp.nanmean(x, 0), HOLED),
    "nanmedian": (lambda x: mnp.nanmedian(x, 0), HOLED),
    "nanquantile": (lambda x: mnp.nanquantile(x, [0.2, 0.6], axis=1), HOLED),
    "nansum": (mnp.nansum, HOLED),
    "nanvar": (lambda x: mnp.nanvar(x, 1), HOLED),
    "piecewise": (lambda x: mnp.piecewise(x, [x > 0], [lambda v: v * v, lambda v: -v]), X),
    "polyval": (lambda x: mnp.polyval(x[0], x[1]), X),
    "ptp": (lambda x: mnp.ptp(x, 0), X),
    "quantile": (lambda x: mnp.quantile(x, [0.2, 0.6], axis=0), X),
    "select": (lambda x: mnp.select([x > 0, x < -1], [x * x, x * 3], 0), X),
    "sinc": (mnp.sinc, X),
    "std": (lambda x: mnp.std(x, 0, where=SOME), X),
    "trapezoid": (mnp.trapezoid, X),
    "unwrap": (lambda x: mnp.unwrap(x * 5), X),
    "vander": (lambda x: mnp.vander(x[0]), X),
    "var": (lambda x: mnp.var(x, 0, ddof=1), X),
}


def _loss(function: Callable[[Any], Any], values: np.ndarray[Any, Any]) -> float:
    found = np.asarray(function(Var(values)))
    return float((found * found).sum())


@pytest.mark.parametrize("name", CALLS)
def test_gradient(name: str) -> None:
    function, values = CALLS[name]
    with config.using(lazy=True):
        place = expr.placeholder(list(values.shape), dtype=np.float64)
        place.write(values)
        result = function(place)
        (gradient,) = gradients([mnp.sum(result * result)], [Var(np.ones(()))], [place])
        assert gradient is not None
        found = np.array(gradient)
    slopes = np.zeros_like(values)
    for index in np.argwhere(~np.isnan(values)):
        for sign in (1, -1):
            moved = values.copy()
            moved[tuple(index)] += sign * 1e-6
            slopes[tuple(index)] += sign * _loss(function, moved) / 2e-6
    np.testing.assert_allclose(found, slopes, atol=1e-5 * max(1.0, float(np.abs(slopes).max())))
