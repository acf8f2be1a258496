"""Times pictures on their way into a network, and through it.

`python benchmarks/pipelines.py FOLDER`: FOLDER as `make_models.py` wrote it. Two pipelines:

* preprocess: uint8 picture of 1080p to 224x224, RGB, normalised, in the network's layout;
* classify: the same, then a classifier and the number of the best class.

Candidate "mnn" records the pipeline with public functions and evaluates it as one graph; "opencv"
is OpenCV and NumPy with ONNX Runtime as the network; "opencv:blob" prepares with OpenCV's own
all-in-one function.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import (
    STEADY_MEMORY,
    Worker,
    WorkerError,
    add_arguments,
    chosen_cores,
    markdown,
    measure,
    relative_error,
    write_json,
)

OURS, BASE, BLOB = "mnn", "opencv", "opencv:blob"
CANDIDATES = (OURS, BASE, BLOB)
PIPELINES = ("preprocess", "classify")
SIZE = 224
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)

Array = np.ndarray[Any, Any]
Step = Callable[[], list[Any]]


def picture() -> Array:
    """Return a BGR picture of 1920x1080 with smooth parts and noise."""
    rows, columns = np.mgrid[0:1080, 0:1920].astype(np.float32)
    waves = [
        np.sin(rows / (40 + 17 * k))
        + np.cos(columns / (60 - 9 * k))
        + np.sin((rows + columns) / 90)
        for k in range(3)
    ]
    noise = np.random.default_rng(2).normal(0, 12, (1080, 1920, 3))
    return np.clip(np.stack(waves, -1) * 40 + 128 + noise, 0, 255).astype(np.uint8)


def prepare_ours(threads: int) -> Callable[[], Any]:
    """Return a function that records the preparation with this package's public functions."""
    import mnn
    from mnn import cv
    from mnn import numpy as namespace

    mnn.config.threads = threads
    mnn.expr.lazy_eval(True)
    image = namespace.array(picture())

    def prepare() -> Any:
        small = cv.cvtColor(cv.resize(image, (SIZE, SIZE)), cv.COLOR_BGR2RGB)
        scaled = (small.astype(np.float32) - MEAN) / DEVIATION
        return namespace.expand_dims(namespace.transpose(scaled, (2, 0, 1)), 0)

    return prepare


def prepare_opencv(threads: int, blob: bool) -> Callable[[], Any]:
    """Return a function that prepares with OpenCV and NumPy."""
    import cv2

    cv2.setNumThreads(threads)
    image = picture()
    scale = 1 / DEVIATION[:, None, None]

    def separate() -> Array:
        small = cv2.cvtColor(cv2.resize(image, (SIZE, SIZE)), cv2.COLOR_BGR2RGB)
        scaled = (small.astype(np.float32) - MEAN) / DEVIATION
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])

    def at_once() -> Array:
        # It subtracts per channel but multiplies all channels by one number only.
        made: Array = cv2.dnn.blobFromImage(image, 1.0, (SIZE, SIZE), MEAN.tolist(), swapRB=True)
        made *= scale
        return made

    return at_once if blob else separate


def classify_ours(model: str, threads: int) -> Step:
    """Return the whole pipeline of this package."""
    import mnn

    prepare = prepare_ours(threads)
    config = {"backend": "CPU", "numThread": threads}
    runtime = mnn.nn.create_runtime_manager((config,))
    module = mnn.nn.load_module_from_file(f"{model}.mnn", [], [], runtime_manager=runtime)
    return lambda: [np.asarray(mnn.numpy.argmax(module.forward(prepare()), axis=1))]


def classify_opencv(model: str, threads: int, blob: bool) -> Step:
    """Return the whole pipeline of OpenCV, NumPy and ONNX Runtime."""
    import onnxruntime

    prepare = prepare_opencv(threads, blob)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        f"{model}.onnx", options, providers=["CPUExecutionProvider"]
    )
    return lambda: [np.argmax(session.run(None, {"x": prepare()})[0], axis=1)]


def step(candidate: str, pipeline: str, model: str, threads: int) -> Step:
    """Return the step of one candidate for `worker.py`."""
    blob = candidate == BLOB
    if pipeline == "classify":
        if candidate == OURS:
            return classify_ours(model, threads)
        return classify_opencv(model, threads, blob)
    prepare = prepare_ours(threads) if candidate == OURS else prepare_opencv(threads, blob)
    return lambda: [np.asarray(prepare())]


def main() -> int:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pipelines", nargs="*", metavar="PIPELINE", help=", ".join(PIPELINES))
    parser.add_argument(
        "--network", default="mobilenet_v2", help="classifier (default %(default)s)"
    )
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), metavar="NAME")
    add_arguments(parser)
    options = parser.parse_args()
    names = options.pipelines or list(PIPELINES)
    unknown = sorted(set(names) - set(PIPELINES))
    if unknown:
        parser.error(f"unknown pipelines {unknown}")
    found = {name: measure_pipeline(name, options) for name in names}
    print(f"{options.threads} thread(s), milliseconds (median)\n")
    print(table(found, options.candidates))
    write_json(options.json, {"threads": options.threads, "pipelines": found})
    return 0


def measure_pipeline(pipeline: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return milliseconds, ratios and differences of every candidate that runs the pipeline."""
    results: dict[str, Array] = {}
    with contextlib.ExitStack() as stack:
        able = []
        for name in options.candidates:
            python = sys.executable if name == OURS else options.python
            cores = chosen_cores(options.threads)
            worker = stack.enter_context(
                Worker(name, python, options.threads, cores, STEADY_MEMORY)
            )
            arguments = {
                "candidate": name,
                "pipeline": pipeline,
                "model": str(options.folder / options.network),
                "threads": options.threads,
            }
            try:
                worker.ask(
                    "open", name="p", module="pipelines", function="step", arguments=arguments
                )
                results[name] = worker.results("p")[0]
            except WorkerError as error:
                print(f"{pipeline}: {error}", file=sys.stderr)
            else:
                able.append(worker)
        times = measure(able, "p", options.rounds, options.seconds)
    return {
        "milliseconds": {each.name: 1e3 * times.median(each.name) for each in able},
        "ratios": {each.name: times.ratio(each.name, OURS) for each in able if OURS in results},
        "differences": {
            name: relative_error(result, results[BASE])
            for name, result in results.items()
            if BASE in results
        },
    }


def table(found: dict[str, dict[str, Any]], candidates: list[str]) -> str:
    """Return times, and how many times as long as this package the others take."""
    others = [each for each in candidates if each != OURS]
    heads = ["pipeline", *candidates, *(f"{each} / {OURS}" for each in others), "difference"]
    rows = []
    for name, result in found.items():
        times, ratios = result["milliseconds"], result["ratios"]
        row = [name, *(f"{times[each]:.3f}" if each in times else "-" for each in candidates)]
        row += [f"{ratios[each]:.2f}" if each in ratios else "-" for each in others]
        difference = result["differences"].get(OURS)
        rows.append([*row, "-" if difference is None else f"{difference:.0e}"])
    return markdown(heads, rows)


if __name__ == "__main__":
    sys.exit(main())
