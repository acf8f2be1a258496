"""Settings of the process: how graphs are built and run.

`mnn.config` is one object. Assign to its attributes, or use
`with mnn.config.using(threads=1): ...` to change some for a block.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from mnn.cores import available_cores
from mnn.records import dataclass, field, fields

__all__ = ["Config", "config", "mode"]


class Mode:
    """What machine code has to know of the settings: one word, zero in plain eager mode."""

    LAZY, RECORDING, SMALL = 1, 2, 4

    def __init__(self) -> None:
        self._memory = np.zeros(1, np.int64)
        self._word = memoryview(self._memory)  # type: ignore[arg-type]
        self._lock = threading.Lock()

    @property
    def address(self) -> int:
        """Where the word lies, for as long as the process lives."""
        return int(self._memory.__array_interface__["data"][0])

    def set(self, bit: int, on: bool) -> None:
        """Say whether something is so."""
        with self._lock:
            self._word[0] = self._word[0] | bit if on else self._word[0] & ~bit


mode = Mode()


def _asked_to_verify() -> bool:
    return os.environ.get("MNN_VERIFY", "0") not in ("", "0")


@dataclass
class Config:
    """Process-wide settings.

    Attributes:
        lazy: record a graph (True) or compute every operation at once (False, the default).
        lazy_mode: 0 and 1 re-evaluate when an input changed; 2 and 3 keep the first computed value.
        backend: name of the device that evaluates graphs: `"cpu"` compiles kernels (and is NumPy
            where that is impossible), `"reference"` is NumPy.
        threads: threads that kernels may use, at least 1; at first one for each physical core that
            this process may use.
        precision: what matrix kernels multiply. `"normal"` and `"high"`: float32. `"low"`: bfloat16
            where the processor multiplies that (AVX512-BF16), else float16 where it does
            (AVX512-FP16, AArch64 with FP16), else float32. Sums are float32, those of float16 after
            64 products at most, and scaled so that none becomes infinite. `"low_bf16"`: bfloat16
            where the processor multiplies that, else float32.
        pending_bytes: in eager mode results of large arrays are not computed before they are
            needed, so that they are computed together. This bounds, for each of them, the bytes of
            all arrays that it is made of, which stay in memory as long as it waits; 0 computes
            everything at once.
        pending_elements: how many elements make an array large in this sense.
        verify: check what each stage of the compiler makes, and let no run see what an earlier one
            left in memory; for finding mistakes. The environment variable `MNN_VERIFY=1` sets it.
    """

    lazy: bool = False
    lazy_mode: int = 0
    backend: str = "cpu"
    threads: int = field(default_factory=available_cores)
    precision: str = "normal"
    pending_bytes: int = 1 << 30
    pending_elements: int = 1 << 16
    verify: bool = field(default_factory=_asked_to_verify)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if self is not config:
            return
        if name == "lazy":
            mode.set(Mode.LAZY, bool(value))
        elif name == "pending_elements":
            mode.set(Mode.SMALL, value <= 1024)

    @contextlib.contextmanager
    def using(self, **settings: Any) -> Iterator[Config]:
        """Apply `settings` inside a `with` block and restore the old values after it.

        Raises:
            AttributeError: a name is no setting.
        """
        known = {each.name for each in fields(self)}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise AttributeError(
                f"config.using: unknown settings {unknown}. Expected some of {sorted(known)}."
            )
        old = {name: getattr(self, name) for name in settings}
        for name, value in settings.items():
            setattr(self, name, value)
        try:
            yield self
        finally:
            for name, value in old.items():
                setattr(self, name, value)


config = Config()
