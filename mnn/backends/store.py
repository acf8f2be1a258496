"""Plans that earlier processes made, on disk beside the compiled kernels.

A plan is found by where its graph comes from, the types of its arguments, the machine, and the
sources of this package. Graphs that come from nowhere but the running program are not stored.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import Any, TypeAlias

import numpy as np

from mnn.backends.cpu.stored import StoredPlan, pack
from mnn.codegen.cache import KeyMaker, ObjectCache, user_cache
from mnn.codegen.host import compiler_identity
from mnn.codegen.mapping import can_map_code
from mnn.codegen.sources import Snapshot, generator_digest, take_snapshot
from mnn.codegen.target import host_target
from mnn.errors import CodegenError
from mnn.expr.graph import Origin

__all__ = ["PlanStore", "plan_store"]

_Signature: TypeAlias = "tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]"


class PlanStore:
    """Stored plans, and whatever else has to be forgotten when the sources change.

    Args:
        cache: where they are kept.
    """

    def __init__(self, cache: ObjectCache) -> None:
        self.cache = cache
        self._snapshot: Snapshot = ()
        self._keys: KeyMaker | None = None
        # Without a compiler there are no plans.
        with contextlib.suppress(CodegenError):
            if can_map_code():
                self._snapshot = take_snapshot()
                digest = generator_digest(cache, self._snapshot)
                if digest is not None:
                    parts = [sys.version, np.__version__, compiler_identity(), digest.hex()]
                    self._keys = KeyMaker(["plans", *parts])

    @property
    def usable(self) -> bool:
        """True when something can be found: sources are known, and code can be mapped."""
        return self._keys is not None

    def key(self, text: str) -> bytes:
        """Return the key of a text; the store must be usable."""
        assert self._keys is not None
        return self._keys.key(text)

    def get_text(self, text: str) -> bytes | None:
        """Return what is stored under a text, None when there is nothing."""
        return None if self._keys is None else self.cache.get(self._keys.key(text))

    def put_text(self, text: str, content: bytes) -> None:
        """Store content under a text, unless the sources have changed since this process began."""
        if self._keys is not None and take_snapshot() == self._snapshot:
            self.cache.put(self._keys.key(text), content)

    def get(self, origin: Origin, signature: _Signature, *, low: bool) -> bytes | None:
        """Return the packed plan of a graph for arguments of these types."""
        return self.get_text(_describe(origin, signature, low=low))

    def put(self, origin: Origin, signature: _Signature, plan: StoredPlan, *, low: bool) -> None:
        """Store a plan."""
        self.put_text(_describe(origin, signature, low=low), pack(plan))


def _describe(origin: Origin, signature: _Signature, *, low: bool) -> str:
    types = " ".join(f"{dtype.str}{shape}" for shape, dtype in signature)
    return f"plan {origin.key.hex()} {types} {low} {host_target()!r}"


@functools.cache
def plan_store() -> PlanStore:
    """Return the store of this user."""
    return PlanStore(user_cache())
