"""Networks: layers, losses, and modules loaded from files."""

from __future__ import annotations

from mnn.nn import compress, loss
from mnn.nn.layers import batch_norm, conv, dropout, linear, set_seed
from mnn.nn.loaded import LoadedModule, load_module, load_module_from_file
from mnn.nn.module import EmptyModule, Module, dummy
from mnn.nn.runtime import RuntimeManager, create_runtime_manager

__all__ = [
    "EmptyModule",
    "LoadedModule",
    "Module",
    "RuntimeManager",
    "batch_norm",
    "compress",
    "conv",
    "create_runtime_manager",
    "dropout",
    "dummy",
    "linear",
    "load_module",
    "load_module_from_file",
    "loss",
    "set_seed",
]
