"""Times kernels of pictures next to OpenCV, and those of images in networks next to ONNX Runtime.

`python benchmarks/kernels_image.py [CASE ...] [--threads 2] [--json FILE]`, with cases from the
table CASES. Times are of the plan or the peer's call alone, on warm memory; nothing of this
package's recording is in them. Images of networks are measured twice where layouts matter: in
planes, as ONNX Runtime has them, and channels last (`/last`), as plans keep them between kernels.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
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

Array = np.ndarray[Any, Any]
Step = Callable[[], list[Any]]

HD = (1080, 1920, 3)
OURS, PEER = "mnn", "peer"

PICTURES: dict[str, tuple[str, tuple[int, ...], str, Any]] = {
    "resize 224": ("resize", HD, "uint8", (224, 224)),
    "resize 640": ("resize", HD, "uint8", (640, 640)),
    "resize half": ("resize", HD, "uint8", (960, 540)),
    "resize up": ("resize", (224, 224, 3), "uint8", (1080, 1080)),
    "resize grey": ("resize", HD[:2], "uint8", (640, 640)),
    "resize alpha": ("resize", (1080, 1920, 4), "uint8", (640, 640)),
    "resize float": ("resize", HD, "float32", (640, 640)),
    "resize float 224": ("resize", HD, "float32", (224, 224)),
    "resize float grey": ("resize", HD[:2], "float32", (640, 640)),
    "nearest 224": ("nearest", HD, "uint8", (224, 224)),
    "nearest up": ("nearest", (224, 224, 3), "uint8", (1080, 1080)),
    "to rgb": ("colour", HD, "uint8", 4),
    "to grey": ("colour", HD, "uint8", 6),
    "from grey": ("colour", HD[:2], "uint8", 8),
    "to grey float": ("colour", HD, "float32", 6),
    "mirror": ("flip", HD, "uint8", 1),
    "upside down": ("flip", HD, "uint8", 0),
    "rotate": ("rotate", HD, "uint8", 0),
    "border": ("border", HD, "uint8", 4),
    "letterbox": ("border", (360, 640, 3), "uint8", 0),
}
"""Operation, shape, dtype and argument."""

NETWORKS: dict[str, tuple[str, tuple[int, ...], Any]] = {
    "linear 2x": ("linear", (1, 64, 56, 56), (112, 112)),
    "linear 8x": ("linear", (1, 21, 65, 65), (513, 513)),
    "nearest 2x": ("nearest", (1, 256, 26, 26), (52, 52)),
    "cubic 2x": ("cubic", (1, 64, 56, 56), (112, 112)),
    "image 2x": ("linear", (1, 3, 256, 256), (512, 512)),
    "grid": ("grid", (1, 64, 64, 64), (64, 64)),
    "grid image": ("grid", (1, 3, 256, 256), (256, 256)),
    "regions": ("regions", (1, 256, 50, 50), (100, 7)),
}
"""Operation, shape, and size of the result or (number, size) of regions."""

CASES = [*PICTURES, *(f"{name}{layout}" for name in NETWORKS for layout in ("", "/last"))]


def pixels(shape: tuple[int, ...], dtype: str) -> Array:
    """Return a picture with smooth parts and noise."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    plane = 128 + 60 * np.sin(rows / 40) * np.cos(columns / 60)
    noise = np.random.default_rng(2).normal(0, 12, shape)
    plane = plane.reshape(*shape[:2], *(1,) * (len(shape) - 2))
    return np.ascontiguousarray(np.clip(plane + noise, 0, 255).astype(dtype))


# --- this package --------------------------------------------------------------------------------


def planned(function: Callable[..., Any], arrays: list[Array], threads: int) -> Step:
    """Return a step that runs the plan of a recorded function."""
    from mnn.backends.segments import Segment
    from mnn.config import config
    from mnn.expr.node import INPUT, Cell, Ref, leaf, walk
    from mnn.expr.types import TensorType
    from mnn.expr.var import capture, var_of

    leaves = [leaf(INPUT, TensorType(each.shape, each.dtype), Cell(None)) for each in arrays]
    with config.using(lazy=True):
        ref = capture(function(*(var_of(Ref(each, 0)) for each in leaves)))
    nodes = [node for node in walk([ref]) if not node.is_leaf]
    constants = {
        node: node.cell.array
        for node in walk([ref])
        if node.cell is not None and node.cell.array is not None
    }
    segment = Segment(nodes, [ref], [Ref(each, 0) for each in leaves], constants)
    plan = segment.compiled(arrays, low=False)[0].plan
    return lambda: plan.run(arrays, threads)


def picture_ours(name: str, threads: int) -> Step:
    """Return the step of a picture's operation."""
    from mnn import cv

    kind, shape, dtype, argument = PICTURES[name]
    functions: dict[str, Callable[[Any], Any]] = {
        "resize": lambda x: cv.resize(x, argument),
        "nearest": lambda x: cv.resize(x, argument, interpolation=cv.INTER_NEAREST),
        "colour": lambda x: cv.cvtColor(x, argument),
        "flip": lambda x: cv.flip(x, argument),
        "rotate": lambda x: cv.rotate(x, argument),
        "border": lambda x: cv.copyMakeBorder(x, 140, 140, 0, 0, argument, (114,) * 3),
    }
    return planned(functions[kind], [pixels(shape, dtype)], threads)


def network_ours(name: str, threads: int) -> Step:
    """Return the step of a network's operation."""
    from mnn import numpy as namespace
    from mnn.ops import image as images

    name, _, layout = name.partition("/")
    kind, _, size = NETWORKS[name]
    arrays = network_inputs(name)

    def function(x: Any, *others: Any) -> Any:
        if layout:
            x = namespace.transpose(x, (0, 3, 1, 2))
        if kind == "grid":
            found = images.grid_sample(x, others[0])
        elif kind == "regions":
            found = images.roi_align(x, others[0], size[1], size[1], 1.0, 2, True, 1)
        else:
            method = {"nearest": "nearest_round"}.get(kind, kind)
            found = images.interpolate(
                x, np.array(size, np.int32), method=method, coordinates="half_pixel"
            )
        return namespace.transpose(found, (0, 2, 3, 1)) if layout else found

    if layout:
        arrays[0] = np.ascontiguousarray(arrays[0].transpose(0, 2, 3, 1))
    return planned(function, arrays, threads)


def network_inputs(name: str) -> list[Array]:
    """Return what a network's operation reads."""
    kind, shape, size = NETWORKS[name]
    rng = np.random.default_rng(1)
    found = [rng.standard_normal(shape, np.float32)]
    if kind == "grid":
        found.append(rng.uniform(-1.1, 1.1, (shape[0], *size, 2)).astype(np.float32))
    if kind == "regions":
        corners = rng.uniform(0, 40, (size[0], 2))
        extents = rng.uniform(2, 10, (size[0], 2))
        rows = [np.zeros((size[0], 1)), corners, corners + extents]
        found.append(np.concatenate(rows, 1).astype(np.float32))
    return found


# --- peers ---------------------------------------------------------------------------------------


def picture_peer(name: str, threads: int) -> Step:
    """Return OpenCV's step."""
    import cv2

    cv2.setNumThreads(threads)
    kind, shape, dtype, argument = PICTURES[name]
    x = pixels(shape, dtype)
    functions: dict[str, Callable[[], Any]] = {
        "resize": lambda: cv2.resize(x, argument),
        "nearest": lambda: cv2.resize(x, argument, interpolation=cv2.INTER_NEAREST),
        "colour": lambda: cv2.cvtColor(x, argument),
        "flip": lambda: cv2.flip(x, argument),
        "rotate": lambda: cv2.rotate(x, argument),
        "border": lambda: cv2.copyMakeBorder(x, 140, 140, 0, 0, argument, value=(114,) * 3),
    }
    return lambda: [functions[kind]()]


def network_peer(name: str, threads: int) -> Step:
    """Return ONNX Runtime's step; it has planes in either layout."""
    import onnxruntime
    from onnx import TensorProto, helper

    name, _, layout = name.partition("/")
    kind, shape, size = NETWORKS[name]
    arrays = network_inputs(name)
    extra: list[Any] = []
    if kind == "grid":
        node = helper.make_node("GridSample", ["x", "a"], ["y"], mode="linear")
    elif kind == "regions":
        settings = {"output_height": size[1], "output_width": size[1], "sampling_ratio": 2}
        node = helper.make_node("RoiAlign", ["x", "a", "b"], ["y"], **settings)
        arrays = [arrays[0], arrays[1][:, 1:].copy(), np.zeros(size[0], np.int64)]
    else:
        sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [*shape[:2], *size])
        extra = [sizes]
        inputs = ["x", "", "", "sizes"]
        node = helper.make_node("Resize", inputs, ["y"], mode=kind)
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    names = ["x", "a", "b"][: len(arrays)]
    given = [
        helper.make_tensor_value_info(each, kinds[array.dtype.name], array.shape)
        for each, array in zip(names, arrays, strict=True)
    ]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", given, [result], extra)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = dict(zip(names, arrays, strict=True))
    if not layout:
        return lambda: list(session.run(None, feed))
    return lambda: [session.run(None, feed)[0].transpose(0, 2, 3, 1)]


def step(candidate: str, case: str, threads: int) -> Step:
    """Return the step of one candidate for `worker.py`."""
    if case in PICTURES:
        return (picture_ours if candidate == OURS else picture_peer)(case, threads)
    return (network_ours if candidate == OURS else network_peer)(case, threads)


def main() -> int:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    add_arguments(parser)
    options = parser.parse_args()
    unknown = sorted(set(options.cases) - set(CASES))
    if unknown:
        parser.error(f"unknown cases {unknown}")
    rows, figures = [], {}
    for case in options.cases or CASES:
        found = measure_case(case, options)
        figures[case] = found
        times, ratio, difference = found["milliseconds"], found["ratio"], found["difference"]
        row = [f"{times[each]:.3f}" if each in times else "-" for each in (OURS, PEER)]
        row.append("-" if ratio is None else f"{ratio:.2f}")
        rows.append([case, *row, "-" if difference is None else f"{difference:.0e}"])
    print(f"{options.threads} thread(s), milliseconds (median)\n")
    print(markdown(["case", OURS, PEER, f"{PEER} / {OURS}", "difference"], rows))
    write_json(options.json, {"threads": options.threads, "cases": figures})
    return 0


def measure_case(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return milliseconds, the ratio and the difference of results."""
    results: dict[str, Array] = {}
    with contextlib.ExitStack() as stack:
        able = []
        for name in (OURS, PEER):
            python = sys.executable if name == OURS else options.python
            cores = chosen_cores(options.threads)
            worker = stack.enter_context(
                Worker(name, python, options.threads, cores, STEADY_MEMORY)
            )
            arguments = {"candidate": name, "case": case, "threads": options.threads}
            try:
                worker.ask(
                    "open", name="c", module="kernels_image", function="step", arguments=arguments
                )
                results[name] = worker.results("c")[0]
            except WorkerError as error:
                print(f"{case}: {error}", file=sys.stderr)
            else:
                able.append(worker)
        times = measure(able, "c", options.rounds, options.seconds)
    both = len(able) == 2
    return {
        "milliseconds": {each.name: 1e3 * times.median(each.name) for each in able},
        "ratio": times.ratio(PEER, OURS) if both else None,
        "difference": relative_error(results[OURS], results[PEER]) if both else None,
    }


if __name__ == "__main__":
    sys.exit(main())
