"""Functions recorded once, on placeholders without sizes, are right for arrays of every size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mnn.numpy as mnp
from mnn import expr
from mnn.expr.var import Var
from tests.numpy.differential import quiet, read

RANDOM = np.random.default_rng(1)
DATA = [RANDOM.standard_normal(shape).astype(np.float32) for shape in ((3, 4), (5, 2), (4, 4))]
DATA[1][0, 1] = np.nan

PLAIN = """
    angle average conj corrcoef cov ediff1d frexp gradient i0 imag isposinf isreal modf msort
    nan_to_num nanmax nanmean nanmedian nansum nanvar real signbit sinc sort_complex spacing
    trapezoid
""".split()  # noqa: SIM905 - reads better
ALONG = """
    all any argmax count_nonzero median nanargmax nancumsum nanmax nanmean nanmedian nanmin nanprod
    nanstd nansum nanvar ptp
""".split()  # noqa: SIM905


def _changed(function: Callable[..., Any], x: Any, *arguments: Any) -> Any:
    target = x + 0
    function(target, *arguments)
    return target


def _whole(x: Any) -> Any:
    return mnp.nan_to_num(x)


CALLS: dict[str, Callable[[Any], Any]] = {name: getattr(mnp, name) for name in PLAIN}
CALLS |= {f"{name} 0": lambda x, name=name: getattr(mnp, name)(x, 0) for name in ALONG}
CALLS |= {
    "average weighted": lambda x: mnp.average(
        x, 0, weights=mnp.abs(_whole(x[:, 0])) + 1, returned=True
    ),
    "choose": lambda x: mnp.choose(x > 0, [x, x * 2]),
    "compress": lambda x: mnp.compress(x[:, 0] > 0, x, axis=0),
    "copysign": lambda x: mnp.copysign(x, -1.0),
    "cov of columns": lambda x: mnp.cov(_whole(x), rowvar=False, ddof=0),
    "cumulative_sum": lambda x: mnp.cumulative_sum(x, axis=0, include_initial=True),
    "diff": lambda x: mnp.diff(x, axis=0, prepend=0),
    "digitize": lambda x: mnp.digitize(x, [0.0, 1.0]),
    "extract": lambda x: mnp.extract(x > 0, x),
    "gradient of places": lambda x: mnp.gradient(
        x, mnp.cumsum(mnp.abs(_whole(x[:, 0])) + 0.1), axis=0
    ),
    "interp": lambda x: mnp.interp(x, [0.0, 1, 2], [3.0, 5, 1]),
    "interp between": lambda x: mnp.interp(PLACES, mnp.sort(_whole(x[0])), x[1]),
    "interp with a period": lambda x: mnp.interp(PLACES, _whole(x[0]), x[1], period=7.0),
    "isin": lambda x: mnp.isin(x, x[0]),
    "ldexp": lambda x: mnp.ldexp(x, 3),
    "lexsort": lambda x: mnp.lexsort((x[0], x[1])),
    "logaddexp": lambda x: mnp.logaddexp(x, x[0]),
    "max where": lambda x: mnp.max(x, 1, where=x > 0, initial=0.0),
    "mean where": lambda x: mnp.mean(x, 0, where=x > -1),
    "nanquantile": lambda x: mnp.nanquantile(x, [0.1, 0.7], axis=0, method="hazen"),
    "nextafter": lambda x: mnp.nextafter(x, 0.0),
    "partition": lambda x: mnp.partition(x, 1, axis=0)[1],
    "percentile": lambda x: mnp.percentile(x, 30, method="inverted_cdf"),
    "piecewise": lambda x: mnp.piecewise(x, [x > 0, x < -1], [lambda v: v * 2, 3.0, lambda v: -v]),
    "place": lambda x: _changed(mnp.place, x, x > 0, [1.0, 2.0]),
    "polyval": lambda x: mnp.polyval([1.0, 2, 3], x),
    "put": lambda x: _changed(mnp.put, x, [0, 2], [5.0, 6.0]),
    "putmask": lambda x: _changed(mnp.putmask, x, x > 0, [1.0, 2.0]),
    "quantile": lambda x: mnp.quantile(x, [0.1, 0.7], axis=1),
    "quantile weighted": lambda x: mnp.quantile(
        x, [0.3], axis=0, weights=mnp.abs(_whole(x)) + 1, method="inverted_cdf"
    ),
    "searchsorted": lambda x: mnp.searchsorted(mnp.sort(x[0]), x),
    "select": lambda x: mnp.select([x > 1, x > 0], [x * 2, x * 3], 7),
    "std of a mean": lambda x: mnp.std(x, 0, mean=mnp.mean(x, 0, keepdims=True)),
    "sum where": lambda x: mnp.sum(x, 0, where=x > 0, initial=2),
    "trapezoid of places": lambda x: mnp.trapezoid(x, mnp.abs(x[0]), axis=1),
    "unwrap": lambda x: mnp.unwrap(x * 5, axis=0),
    "var where": lambda x: mnp.var(x, where=x > -1, ddof=1),
}
PLACES = np.array([0.5, 1.0])


@pytest.mark.parametrize("name", CALLS)
def test_one_graph_for_every_size(name: str) -> None:
    function = CALLS[name]
    wanted = [quiet(lambda x: read(function(x)), Var(each.copy())) for each in DATA]
    expr.lazy_eval(True)
    place = expr.placeholder([-1, -1])
    results = function(place)
    for data, want in zip(DATA, wanted, strict=True):
        place.resize(list(data.shape))
        place.write(data)
        found = quiet(read, results)
        several = isinstance(want, tuple)
        for one, two in zip(want, found, strict=True) if several else [(want, found)]:
            assert (one.dtype, one.shape) == (two.dtype, two.shape)
            np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-5)
