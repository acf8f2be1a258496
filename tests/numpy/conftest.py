"""With MNN_TEST_PENDING=1, every array is large enough for its results to wait."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mnn.config import config
from mnn.numpy import shortcuts, small, universal
from mnn.ops import quick


@pytest.fixture(autouse=True)
def _pending(_default_settings: None) -> Iterator[None]:
    if os.environ.get("MNN_TEST_PENDING", "") in ("", "0"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch, config.using(pending_elements=1):
        for module in (quick, shortcuts, small, universal):
            patch.setattr(module, "SMALL", 0)
        yield
