"""Writes int8 versions of picture networks that `make_models.py` wrote.

Run it with the peers' Python: `peer/bin/python benchmarks/make_quantised.py FOLDER [NETWORK ...]`.
For each network the folder gets NAME_int8.mnn (by the quantiser of the reference package),
NAME_int8.onnx (operators on integers, by ONNX Runtime) and NAME_int8_qdq.onnx (the same with pairs
of quantisation and its inverse, for OpenVINO), each beside a copy of the samples. All are
calibrated with the same smooth random pictures: what counts is time, errors only tell that the
whole network was computed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

Array = np.ndarray[Any, Any]
NETWORKS = ("mobilenet_v1", "mobilenet_v2", "squeezenet11", "resnet18", "resnet50")
QUANTISED = "--quantised"
_PICTURES = 4
_SIDE = 224
_MEAN, _FACTOR = 127.5, 1 / 64


def main() -> int:
    """Write the files; 0 when every network was quantised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    options = parser.parse_args()
    failed = []
    for name in options.networks:
        stem = options.folder / name
        with tempfile.TemporaryDirectory() as folder:
            pictures = write_pictures(Path(folder))
            write_onnx(stem, Path(folder), pictures)
            if not write_mnn(stem, Path(folder)):
                failed.append(name)
        for suffix in ("_int8", "_int8_qdq"):
            shutil.copyfile(f"{stem}.npz", f"{stem}{suffix}.npz")
        print(name, flush=True)
    if failed:
        print(f"not quantised: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def write_pictures(folder: Path) -> list[Array]:
    """Write pictures, and return what networks get for them."""
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    found = []
    for number in range(_PICTURES):
        coarse = rng.integers(0, 256, (28, 28, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (_SIDE, _SIDE))
        cv2.imwrite(str(folder / "pictures" / f"{number}.png"), picture)
        colours = picture[:, :, ::-1].astype(np.float32)
        found.append(((colours - _MEAN) * _FACTOR).transpose(2, 0, 1)[None].astype(np.float32))
    return found


class Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Pictures for one input, one after the other."""

    def __init__(self, name: str, pictures: list[Array]) -> None:
        self._left: Iterator[dict[str, Array]] = iter([{name: each} for each in pictures])

    def get_next(self) -> dict[str, Array] | None:
        """Return the next one, None after the last."""
        return next(self._left, None)


def write_onnx(stem: Path, folder: Path, pictures: list[Array]) -> None:
    """Write the two ONNX files."""
    prepared = folder / "prepared.onnx"
    quant_pre_process(f"{stem}.onnx", str(prepared))
    with np.load(f"{stem}.npz") as arrays:
        (name,) = (each.removeprefix("input_") for each in arrays.files if "input_" in each)
    for suffix, form in (("_int8", QuantFormat.QOperator), ("_int8_qdq", QuantFormat.QDQ)):
        quantize_static(
            str(prepared),
            f"{stem}{suffix}.onnx",
            Pictures(name, pictures),
            quant_format=form,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def write_mnn(stem: Path, folder: Path) -> bool:
    """Write the `.mnn` file in a process of its own, which may crash."""
    settings = {
        "format": "RGB",
        "mean": [_MEAN] * 3,
        "normal": [_FACTOR] * 3,
        "width": _SIDE,
        "height": _SIDE,
        "path": f"{folder / 'pictures'}/",
        "used_image_num": _PICTURES,
        "feature_quantize_method": "EMA",
        "weight_quantize_method": "MAX_ABS",
        "input_type": "image",
        "batch_size": 2,
        "model": f"{stem}.mnn",
    }
    config, target = folder / "settings.json", Path(f"{stem}_int8.mnn")
    config.write_text(json.dumps(settings))
    target.unlink(missing_ok=True)
    command = [sys.executable, __file__, QUANTISED, f"{stem}.mnn", str(target), str(config)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if not target.exists():
        print(result.stdout[-2000:], result.stderr[-2000:], file=sys.stderr)
    Path(f"{target}.json").unlink(missing_ok=True)
    return target.exists()


def quantise_here(source: str, target: str, config: str) -> int:
    """Quantise one file with the native module of the reference package.

    Its command line is not used: that one installs packages and sends usage data.
    """
    import _tools

    return 0 if _tools.mnnquant(["mnnquant", source, target, config]) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == [QUANTISED]:
        sys.exit(quantise_here(*sys.argv[2:]))
    sys.exit(main())
