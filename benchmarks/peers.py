"""Runtimes that run a whole network: each function returns a step for `worker.py`.

All take the stem of the model files (`folder/name`), the number of threads and the precision
("normal" or "low"), and return a function that runs the network once on the sample inputs and
returns its outputs as arrays.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["LOADERS", "load", "prepare"]

Array = np.ndarray[Any, Any]
Step = Callable[[], list[Any]]


@functools.cache
def samples(stem: str, kind: str = "input") -> dict[str, Array]:
    """Return the sample inputs, or the exact outputs, by name."""
    with np.load(f"{stem}.npz") as arrays:
        prefix = f"{kind}_"
        return {
            name.removeprefix(prefix): arrays[name]
            for name in arrays.files
            if name.startswith(prefix)
        }


def load(runtime: str, stem: str, threads: int = 1, precision: str = "normal") -> Step:
    """Return a step of the runtime with this name."""
    return LOADERS[runtime](stem, threads, precision)


def prepare(runtime: str, stem: str) -> Step:
    """Import a runtime and read the samples, so that only loading remains; no useful step."""
    samples(stem)
    importlib.import_module(MODULES[runtime])
    return list


def ours(stem: str, threads: int, precision: str) -> Step:
    """This package, through its public module interface."""
    import mnn

    mnn.config.threads, mnn.config.precision = threads, precision
    config = {"backend": "CPU", "numThread": threads, "precision": precision}
    runtime = mnn.nn.create_runtime_manager((config,))
    module = mnn.nn.load_module_from_file(f"{stem}.mnn", [], [], runtime_manager=runtime)
    information = module.get_info()
    arrays = samples(stem)
    inputs = [
        mnn.numpy.array(arrays[name].astype(each.dtype))
        for name, each in zip(information["inputNames"], information["inputs"], strict=True)
    ]

    def step() -> list[Any]:
        return [np.asarray(each) for each in module.onForward(inputs)]

    return step


def onnxruntime(stem: str, threads: int, precision: str) -> Step:
    """ONNX Runtime on its CPU provider, all graph optimisations."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(f"{stem}.onnx", options, providers=["CPUExecutionProvider"])
    inputs = samples(stem)

    def step() -> list[Any]:
        return list(session.run(None, inputs))

    return step


def openvino(stem: str, threads: int, precision: str) -> Step:
    """OpenVINO for latency; precision low lets it compute in bfloat16."""
    from openvino import Core

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "low" else "f32",
    }
    core = Core()
    compiled = core.compile_model(core.read_model(f"{stem}.onnx"), "CPU", settings)
    request = compiled.create_infer_request()
    inputs = samples(stem)

    def step() -> list[Any]:
        results = request.infer(inputs, share_inputs=True, share_outputs=True)
        return [results[output] for output in compiled.outputs]

    return step


def wheel(stem: str, threads: int, precision: str) -> Step:
    """The reference package `MNN` through its module interface."""
    import MNN

    config = {"backend": "CPU", "numThread": threads, "precision": precision}
    runtime = MNN.nn.create_runtime_manager((config,))
    arrays = samples(stem)
    names = list(arrays)
    # Loading without the runtime would start threads that nobody asked for.
    module = MNN.nn.load_module_from_file(
        f"{stem}.mnn", names, list(samples(stem, "output")), runtime_manager=runtime
    )
    inputs = []
    for name in names:
        array = arrays[name]
        if array.dtype == np.int64:
            array = array.astype(np.int32)
        kind = MNN.expr.int if array.dtype == np.int32 else MNN.expr.float
        inputs.append(MNN.expr.const(array, list(array.shape), MNN.expr.NCHW, kind))

    def step() -> list[Any]:
        outputs = module.onForward(inputs)
        # Packed results would otherwise be read in the order of their memory.
        plain = [
            MNN.expr.convert(each, MNN.expr.NCHW) if each.data_format == MNN.expr.NC4HW4 else each
            for each in outputs
        ]
        return [each.read().reshape(each.shape) for each in plain]

    return step


def torch(stem: str, threads: int, precision: str) -> Step:
    """PyTorch in eager mode; precision low computes in bfloat16 where autocast does."""
    import torch as library
    from networks import NETWORKS

    library.set_num_threads(threads)
    network = NETWORKS[stem.rpartition("/")[2]]
    module = network.build()
    inputs = network.samples()

    def step() -> list[Any]:
        low = library.autocast("cpu", library.bfloat16, enabled=precision == "low")
        with library.inference_mode(), low:
            return [module(*inputs).float().numpy()]

    return step


MODULES = {
    "mnn": "mnn.nn",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "wheel": "MNN",
    "torch": "torch",
}
"""What each runtime imports."""

LOADERS: dict[str, Callable[[str, int, str], Step]] = {
    "mnn": ours,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "wheel": wheel,
    "torch": torch,
}
"""Runtimes by name; "mnn" is this package and "wheel" the reference package."""
