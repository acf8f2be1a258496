"""Every test starts from, and must not disturb, the default settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import pytest

from mnn.config import Config, config


@pytest.fixture(autouse=True)
def _default_settings() -> Iterator[None]:
    with config.using(**{**asdict(Config()), "verify": True}):
        yield
