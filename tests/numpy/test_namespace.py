"""The namespace has NumPy's names with NumPy's parameters, or says why not."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnn.numpy as mnp
from mnn.numpy.absent import ABSENT, reason

NAMES = sorted(set(np.__all__) - set(ABSENT) - {"__array_namespace_info__", "__version__"})
# Parameters whose defaults differ on purpose: types and pickles; and markers for "not given".
ACCEPTED = {"dtype", "allow_pickle"}


def parameters(function: Any) -> dict[str, inspect.Parameter] | None:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None


def differences(numpys: Any, ours: Any) -> list[str]:
    """Return what of a call that NumPy takes ours would not."""
    wanted, have = parameters(numpys), parameters(ours)
    if wanted is None or have is None:
        return []
    kinds = inspect.Parameter
    takes_any = any(each.kind == kinds.VAR_KEYWORD for each in have.values())
    takes_all = any(each.kind == kinds.VAR_POSITIONAL for each in have.values())
    placed = [
        name
        for name, each in have.items()
        if each.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    ]
    found = []
    for place, (name, each) in enumerate(wanted.items()):
        if each.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD):
            continue
        by_place = each.kind != kinds.KEYWORD_ONLY
        if by_place and place >= len(placed) and not takes_all:
            found.append(f"{name} by place")
        if each.kind == kinds.POSITIONAL_ONLY:
            continue
        if name not in have:
            if not takes_any and not takes_all:
                found.append(f"{name} by name")
            continue
        if by_place and not takes_all and placed[place] != name:
            found.append(f"{name} is {placed[place]}")
        default = have[name].default
        if each.default is not kinds.empty and default is kinds.empty:
            found.append(f"{name} has no default")
        simple = isinstance(each.default, (int, float, str, tuple, type(None)))
        if simple and default != each.default and name not in ACCEPTED:
            found.append(f"{name}={default!r}, not {each.default!r}")
    return found


MINE = """
    aliases arranging calling contraction conversion creation files grids indexing iteration
    manipulation printing products ranges triangles types
""".split()  # noqa: SIM905 - reads better


@pytest.mark.parametrize("module", [*MINE, "linalg", "fft"])
def test_parameters(module: str) -> None:
    space = __import__(f"mnn.numpy.{module}", fromlist=["__all__"])
    counterpart = getattr(np, module, np) if module in ("linalg", "fft") else np
    for name in space.__all__:
        numpys = getattr(counterpart, name, None)
        if not callable(numpys) or (isinstance(numpys, type) and issubclass(numpys, np.generic)):
            continue
        found = differences(numpys, getattr(space, name))
        # NumPy lists the one argument of these a second time, for another kind of call.
        if name == "arange":
            found = [each for each in found if "start" not in each and "by place" not in each]
        if name == "linalg.vecdot" or (module == "linalg" and name == "vecdot"):
            found = [each for each in found if not each.startswith("axis=")]
        assert not found, name


def test_parameters_of_random() -> None:
    for kind in ("Generator", "RandomState"):
        theirs, ours = getattr(np.random, kind), getattr(mnp.random, kind)
        for name in dir(theirs):
            if not name.startswith("_"):
                assert not differences(getattr(theirs, name), getattr(ours, name)), name
    for name in np.random.__all__:
        assert hasattr(mnp.random, name), name


@pytest.mark.parametrize("name", NAMES)
def test_names_of_numpy(name: str) -> None:
    assert hasattr(mnp, name)


def test_names_that_numpy_groups() -> None:
    for group in ("linalg", "fft"):
        for name in getattr(np, group).__all__:
            assert hasattr(getattr(mnp, group), name), name
    for name in mnp.__all__:
        getattr(mnp, name)
    assert set(mnp.__all__) <= set(dir(mnp))


@pytest.mark.parametrize("name", ABSENT)
def test_absent_names_say_why(name: str) -> None:
    assert len(reason(name) or "") > 30
    assert name not in mnp.__all__
    if name in vars(mnp):
        return  # a module of ours has the name
    with pytest.raises(AttributeError, match=rf"mnn.numpy.{name}: .+\."):
        getattr(mnp, name)


def test_names_that_never_were() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        mnp.nonsense  # noqa: B018
    assert reason("nonsense") is None


def test_names_of_the_reference_package() -> None:
    path = Path(__file__).parents[1] / "data" / "reference_names.json"
    for name in json.loads(path.read_text())["MNN.numpy"].split():
        assert hasattr(mnp, name), name


def test_star_import_and_what_is_loaded() -> None:
    program = (
        "import sys, mnn.numpy\n"
        "late = ['fft', 'files', 'testing', 'random', 'linalg', 'contraction', 'grids']\n"
        "assert not [each for each in late if f'mnn.numpy.{each}' in sys.modules]\n"
        "assert 'numpy.testing' not in sys.modules\n"
        "from mnn.numpy import *\n"
        "assert einsum and load and fft and mgrid\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
