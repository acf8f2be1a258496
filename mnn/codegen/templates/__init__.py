"""Kernel templates: each module has a `lower(...)` that takes tensors and returns calls."""
