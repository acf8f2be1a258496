"""Datasets and loaders of batches."""

from __future__ import annotations

from mnn.data.loader import DataLoader, Dataset

__all__ = ["DataLoader", "Dataset"]
