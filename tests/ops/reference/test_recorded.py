"""The reference functions against results recorded from PyTorch and onnxruntime.

`scripts/record_reference.py` made the files; each case names the function and its attributes.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "data" / "reference"
CASES = [
    (name, key.removesuffix(".call"))
    for name in ("torch.npz", "onnxruntime.npz")
    for key in np.load(FOLDER / name).files
    if key.endswith(".call")
]


def _arrays(data: Any, case: str, kind: str, given: list[bool]) -> list[Any]:
    return [data[f"{case}.{kind}{i}"] if there else None for i, there in enumerate(given)]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[case for _, case in CASES])
def test_recorded(name: str, case: str) -> None:
    with np.load(FOLDER / name) as data:
        call = json.loads(str(data[f"{case}.call"]))
        inputs = _arrays(data, case, "in", call["inputs"])
        expected = _arrays(data, case, "out", call["outputs"])
    module, function = call["function"].split(".")
    run = getattr(importlib.import_module(f"mnn.ops.reference.{module}"), function)
    found = run(*inputs, **call["attributes"])
    found = found if isinstance(found, tuple) else (found,)
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        if wanted is not None:
            assert got.dtype == wanted.dtype
            # Both sides sum in float32, in different orders.
            np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5)
