"""One expression on NumPy's namespace and on ours, with random arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import settings

import mnn.numpy as mnp
from mnn.config import config
from tests.numpy.differential import matches

few = settings(max_examples=12, deadline=None, derandomize=True)
"""How often tests try whose arguments are written out."""


def alike(
    expression: Callable[..., Any], *arguments: Any, recorded: bool = True, defaults: bool = True
) -> None:
    """Assert that `expression(namespace, *arguments)` is equal for NumPy and for ours.

    Args:
        expression: gets numpy or mnn.numpy, and the arguments, as arrays or as Vars.
        arguments: arrays.
        recorded: also evaluate it as a recorded graph.
        defaults: results may have our default types for NumPy's.
    """
    with config.using(backend="reference"):
        matches(
            lambda *given: expression(mnp, *given),
            lambda *given: expression(np, *given),
            *arguments,
            recorded=recorded,
            defaults=defaults,
        )
