"""Writes the model files that the other scripts measure.

Run it with the peers' Python: `peer/bin/python benchmarks/make_models.py FOLDER [NETWORK ...]`.
For each network the folder gets NAME.onnx, NAME.mnn and NAME.npz with sample inputs (`input_*`) and
the outputs in float64 (`output_*`); `networks.json` describes them all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import NETWORKS, Network
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

OPSET = 13
CONVERTED = "--converted"


def main() -> int:
    """Write the files; 0 when every network was converted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="*", help=f"names of {', '.join(NETWORKS)}")
    options = parser.parse_args()
    names = options.networks or list(NETWORKS)
    unknown = sorted(set(names) - set(NETWORKS))
    if unknown:
        parser.error(f"unknown networks {unknown}")
    options.folder.mkdir(parents=True, exist_ok=True)
    catalogue = options.folder / "networks.json"
    entries = json.loads(catalogue.read_text()) if catalogue.exists() else {}
    failed = []
    for name in names:
        entries[name] = export(NETWORKS[name], options.folder / name)
        if not convert(options.folder / name):
            failed.append(name)
        ordered = {each: entries[each] for each in NETWORKS if each in entries}
        catalogue.write_text(json.dumps(ordered, indent=1) + "\n")
        print(f"{name}: {entries[name]['work'] / 1e6:.0f} million multiply-adds", flush=True)
    if failed:
        print(f"not converted: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def export(network: Network, stem: Path) -> dict[str, Any]:
    """Write the ONNX file and the sample; return the entry of the catalogue."""
    module, samples = network.build(), network.samples()
    names = [each.name for each in network.inputs]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            samples,
            str(stem.with_suffix(".onnx")),
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            output_names=["y"],
        )
        work = count_work(module, samples)
        exact = [each.double() if each.is_floating_point() else each for each in samples]
        truth = module.double()(*exact)
    arrays = {f"input_{name}": each.numpy() for name, each in zip(names, samples, strict=True)}
    np.savez(stem.with_suffix(".npz"), output_y=truth.numpy(), **arrays)
    return {
        "inputs": {
            name: {"shape": list(each.shape), "dtype": str(each.numpy().dtype)}
            for name, each in zip(names, samples, strict=True)
        },
        "outputs": {"y": {"shape": list(truth.shape)}},
        "work": work,
        "parameters": sum(each.numel() for each in module.parameters()),
    }


def count_work(module: nn.Module, samples: tuple[torch.Tensor, ...]) -> int:
    """Return the multiply-adds of matrix products, convolutions and recurrent layers."""
    recurrent = 0

    def add(layer: Any, inputs: tuple[torch.Tensor, ...], _: Any) -> None:
        nonlocal recurrent
        steps = inputs[0].shape[0] * inputs[0].shape[1]
        recurrent += steps * sum(
            each.numel() for name, each in layer.named_parameters() if name.startswith("weight")
        )

    hooks = [
        layer.register_forward_hook(add)
        for layer in module.modules()
        if isinstance(layer, (nn.LSTM, nn.GRU))
    ]
    with FlopCounterMode(display=False) as counter:
        module(*samples)
    for hook in hooks:
        hook.remove()
    return counter.get_total_flops() // 2 + recurrent


def convert(stem: Path) -> bool:
    """Convert NAME.onnx to NAME.mnn in a process of its own, which may crash."""
    target = stem.with_suffix(".mnn")
    target.unlink(missing_ok=True)
    command = [sys.executable, __file__, CONVERTED, str(stem.with_suffix(".onnx")), str(target)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if not target.exists():
        print(result.stdout[-2000:], result.stderr[-2000:], file=sys.stderr)
    return target.exists()


def convert_here(source: str, target: str) -> int:
    """Convert one file with the native module of the reference package.

    Its command line is not used: that one installs packages and sends usage data. GELU stays
    exact, as in the ONNX file, so that all runtimes compute the same function.
    """
    import _tools

    arguments = ["-f", "ONNX", "--modelFile", source, "--MNNModel", target, "--bizCode", "MNN"]
    _tools.mnnconvert(["mnnconvert", *arguments, "--useGeluApproximation", "0"])
    return 0 if os.path.exists(target) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == [CONVERTED]:
        sys.exit(convert_here(*sys.argv[2:]))
    sys.exit(main())
