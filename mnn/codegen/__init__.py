"""Kernel generator: structured LLVM text, targets, templates, object code and its cache."""

from __future__ import annotations

import time

IMPORTED_AT = time.time()
"""When this process began to import what generates code, in seconds."""
