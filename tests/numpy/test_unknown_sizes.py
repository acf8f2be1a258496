"""Functions recorded on placeholders without sizes: right for all of them, or refused at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mnn.numpy as mnp
from mnn import expr
from mnn.errors import MnnError, UnsupportedError
from mnn.expr.var import Var

RANDOM = np.random.default_rng(1)
DATA = [RANDOM.standard_normal(shape).astype(np.float32) for shape in ((3, 4), (5, 2), (4, 4))]

PLAIN = """
    absolute argsort argwhere copy cumsum diag diff exp flatnonzero flip max mean median nonzero
    ones_like ptp ravel reciprocal rot90 round sort std sum tril triu trace transpose unique var
    zeros_like any all argmax argmin prod count_nonzero average
""".split()  # noqa: SIM905 - reads better
ALONG = "argmax average cumsum max mean median sort std sum var".split()  # noqa: SIM905

CALLS: dict[str, Callable[[Any], Any]] = {name: getattr(mnp, name) for name in PLAIN}
CALLS |= {
    f"{name} {axis}": lambda x, name=name, axis=axis: getattr(mnp, name)(x, axis)
    for name in (
        "argmax",
        "average",
        "cumsum",
        "max",
        "mean",
        "median",
        "sort",
        "std",
        "sum",
        "var",
    )
    for axis in (0, -1)
}
CALLS |= {
    "append": lambda x: mnp.append(x, x, 0),
    "array_split at": lambda x: mnp.array_split(x, [1, -1]),
    "average weighted": lambda x: mnp.average(x, axis=0, weights=mnp.absolute(x[:, 0]) + 1),
    "average returned": lambda x: mnp.average(x, 0, returned=True),
    "broadcast_arrays": lambda x: mnp.broadcast_arrays(x, x[:1]),
    "concatenate": lambda x: mnp.concatenate([x, x], None),
    "diag of a row": lambda x: mnp.diag(x[0]),
    "diag -1": lambda x: mnp.diag(x, -1),
    "diff prepend": lambda x: mnp.diff(x, prepend=0),
    "dot": lambda x: mnp.dot(x, mnp.transpose(x)),
    "dot of three dimensions": lambda x: mnp.dot(mnp.expand_dims(x, 0), mnp.transpose(x)),
    "dstack": lambda x: mnp.dstack([x, x]),
    "expand and squeeze": lambda x: mnp.squeeze(mnp.expand_dims(x, (0, 2))),
    "full_like": lambda x: mnp.full_like(x, 2.5),
    "in place": lambda x: changed(x),
    "index": lambda x: (x[-1], x[::-1, ::2], x[x > 0], x[[0, -1]], x[None, ..., :-1]),
    "inner": lambda x: mnp.inner(x, x),
    "isclose": lambda x: mnp.isclose(x, x + 1e-9),
    "mean ()": lambda x: mnp.mean(x, ()),
    "median both": lambda x: mnp.median(x, (0, 1), keepdims=True),
    "meshgrid": lambda x: mnp.meshgrid(x[0], x[:, 0]),
    "norm": lambda x: (mnp.linalg.norm(x), mnp.linalg.norm(x, 1), mnp.linalg.norm(x, axis=1)),
    "outer": lambda x: mnp.outer(x, x),
    "pad": lambda x: mnp.pad(x, ((1, 0), (0, 2)), constant_values=((1, 2), (3, 4))),
    "pad mean": lambda x: mnp.pad(x, 1, "mean"),
    "pad reflect": lambda x: mnp.pad(x, 1, "reflect"),
    "repeat": lambda x: (mnp.repeat(x, 2), mnp.repeat(x, 0), mnp.repeat(x, 3, axis=0)),
    "reshape F": lambda x: mnp.reshape(x, (-1, 1), order="F"),
    "roll": lambda x: (mnp.roll(x, 3), mnp.roll(x, (1, -1), (0, 1))),
    "split at": lambda x: mnp.split(x, [1, 2]),
    "stack": lambda x: mnp.stack([x, x], -1),
    "svd": lambda x: mnp.linalg.svd(x, False)[1],
    "take": lambda x: mnp.take(x, [7, -9], axis=0, mode="wrap"),
    "take clipped": lambda x: mnp.take(x, [7, -9], axis=1, mode="clip"),
    "take_along_axis": lambda x: mnp.take_along_axis(x, mnp.argsort(x, 1), 1),
    "tensordot": lambda x: (mnp.tensordot(x, x), mnp.tensordot(x, x, ((0,), (0,)))),
    "tile": lambda x: mnp.tile(x, (2, 1, 3)),
    "trace 1": lambda x: mnp.trace(x, 1),
    "unique with all": lambda x: mnp.unique(x, True, True, True),
    "where": lambda x: mnp.where(x > 0, x, 0),
}
REFUSED = {
    "array_split": lambda x: mnp.array_split(x, 2),
    "delete": lambda x: mnp.delete(x, 0, axis=0),
    "pad wrap": lambda x: mnp.pad(x, 1, "wrap"),
}


def changed(x: Var) -> Var:
    y = x + 0
    y[0] = 5
    y[y > 1] *= 2
    return y


def arrays(result: Any) -> list[Any]:
    several = result if isinstance(result, (tuple, list)) else [result]
    return [np.array(each) for each in several]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("declared", [[-1, -1], [-1, 4], [3, 4]])
def test_one_graph_for_every_size(name: str, declared: list[int]) -> None:
    fitting = [
        each
        for each in DATA
        if all(size in (-1, got) for size, got in zip(declared, each.shape, strict=True))
    ]
    wanted = [arrays(CALLS[name](Var(each.copy()))) for each in fitting]
    expr.lazy_eval(True)
    place = expr.placeholder(declared)
    results = CALLS[name](place)
    for data, want in zip(fitting, wanted, strict=True):
        place.resize(list(data.shape))
        place.write(data)
        found = arrays(results)
        assert len(found) == len(want)
        for one, two in zip(found, want, strict=True):
            assert (one.dtype, one.shape) == (two.dtype, two.shape)
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_sizes_is_refused(name: str) -> None:
    expr.lazy_eval(True)
    with pytest.raises(UnsupportedError, match="expected known sizes"):
        REFUSED[name](expr.placeholder([-1, -1]))
    REFUSED[name](expr.placeholder([3, 4]))


def test_values_are_not_read_while_recording() -> None:
    expr.lazy_eval(True)
    place = expr.placeholder([-1, 2])
    for function in (len, mnp.size, mnp.allclose):
        with pytest.raises(MnnError, match="no value yet"):
            function(place) if function is not mnp.allclose else function(place, place)
