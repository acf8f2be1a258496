"""What runs plans: as often as wanted, from any number of threads at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.backends.cpu.instance import Instance, Recipe

__all__ = ["Runnable"]

Array = np.ndarray[Any, Any]

_IDLE_LIMIT = 8


class Runnable:
    """Runs a recipe; keeps the memory of runs for later ones.

    Args:
        recipe: what to run.
        memory: what must stay alive: constants.
    """

    def __init__(self, recipe: Recipe, memory: object = None) -> None:
        self._recipe = recipe
        self._memory = memory
        self._idle: list[Instance] = []

    @property
    def may_refuse(self) -> bool:
        """True when runs may end with RefusedError."""
        return self._recipe.status is not None

    @property
    def peak_bytes(self) -> int:
        """Memory of temporaries in one run."""
        return self._recipe.arena_bytes

    def run(self, arrays: Sequence[Array], threads: int = 1) -> list[Array]:
        """Return new arrays with the outputs.

        Args:
            arrays: one for each input, of its shape and dtype; nothing is kept of them.
            threads: how many may work on it, at least 1.
        """
        instance = self._take()
        try:
            return instance.run(arrays, threads)
        finally:
            self._give_back(instance)

    def profile(self, arrays: Sequence[Array], threads: int = 1, repeat: int = 10) -> list[float]:
        """Return the median of the seconds that each step took, in `repeat` runs."""
        instance = self._take()
        try:
            seconds = [instance.profile(arrays, threads) for _ in range(repeat)]
        finally:
            self._give_back(instance)
        return [float(each) for each in np.median(np.array(seconds), axis=0)]

    def _take(self) -> Instance:
        try:
            return self._idle.pop()
        except IndexError:
            return Instance(self._recipe)

    def _give_back(self, instance: Instance) -> None:
        if len(self._idle) < _IDLE_LIMIT:
            self._idle.append(instance)
