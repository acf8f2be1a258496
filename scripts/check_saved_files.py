"""Check that files written by `mnn.expr.save` give equal results in the reference package.

Run it with a Python that has both packages (`MNN` of the index, and this one on its path):

    PYTHONPATH=. python scripts/check_saved_files.py [--only WORD] [--list]

Every fixture model, and every sample of every operator that files can hold, is saved, loaded by the
reference package in a process of its own (it may crash) and run with the same inputs. The table
counts equal results, what the reference package cannot run and why, and what differs; results in
which that package is known to be wrong are listed with the reason. Exit status 1: a difference or
a refusal without a known reason.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
MODELS = Path(__file__).resolve().parent.parent / "tests" / "data" / "models"
TOLERANCE = 2e-4
SECONDS = 60


@dataclass
class Case:
    """A saved file, what to feed it, and what it must give."""

    name: str
    path: Path
    inputs: dict[str, Array]
    formats: dict[str, str]
    wanted: dict[str, Array]
    operands: list[Array]


# --- cases ---------------------------------------------------------------------------------------


def fixture_cases(folder: Path) -> Iterator[Case | tuple[str, str]]:
    """Yield every fixture model saved again, or its name and why it cannot be."""
    from mnn import expr
    from mnn.errors import MnnError
    from mnn.expr.graph import Graph
    from mnn.expr.var import var_of
    from mnn.format.model import load_model

    for model in json.loads((MODELS / "index.json").read_text(encoding="utf-8"))["models"]:
        name = f"model {model['name']}"
        graph, names, outputs = load_model(MODELS / model["file"]).select([], [])
        path = folder / f"{model['name']}.mnn"
        try:
            expr.save([var_of(ref) for ref in graph.outputs], path)
        except MnnError as error:
            yield name, str(error)
            continue
        arrays = np.load(MODELS / model["data"])
        inputs = {each: arrays[f"c0.in.{each}"] for each in names}
        wanted = Graph(graph.inputs, graph.outputs)(list(inputs.values()))
        used = {node.names.get(0) for node in graph.leaves()}
        yield Case(
            name,
            path,
            {each: array for each, array in inputs.items() if each in used},
            {node.names[0]: node.types[0].format.name for node in graph.inputs},
            dict(zip(outputs, wanted, strict=True)),
            list(inputs.values()),
        )


def sample_cases(folder: Path) -> Iterator[Case | tuple[str, str]]:
    """Yield every sample of every operator that files hold, float arrays as inputs of the file."""
    from mnn.format.encode import can_encode
    from mnn.ops.spec import all_specs

    for spec in all_specs():
        if not can_encode(spec) or not spec.pure:
            continue
        for number, sample in enumerate(spec.samples):
            dtypes = {each.dtype.name for each in sample.inputs if isinstance(each, np.ndarray)}
            if dtypes & {"float64", "int64", "complex64", "complex128", "float16"}:
                continue
            floats = [place for place, each in enumerate(sample.inputs) if is_input(each)]
            name = f"{spec.name}-{number}"
            yield sample_case(spec, sample, name, floats, folder)
            if len(floats) > 1:
                yield sample_case(spec, sample, f"{name}-constants", floats[:1], folder)


def is_input(operand: Any) -> bool:
    """Return whether an operand becomes an input of the file; the others become constants."""
    return isinstance(operand, np.ndarray) and operand.dtype.kind == "f" and operand.ndim > 0


def sample_case(
    spec: Any, sample: Any, name: str, fed: list[int], folder: Path
) -> Case | tuple[str, str]:
    """Return one sample of an operator as a saved file with the operands `fed` as inputs."""
    from mnn import expr
    from mnn.config import config
    from mnn.errors import MnnError
    from mnn.expr.enums import data_format
    from mnn.ops.create import placeholder

    attributes = spec._attributes(sample.attributes)
    format = data_format.NHWC if attributes.get("layout") == "NHWC" else data_format.NCHW
    format = attributes.get("source", format)
    inputs, formats, operands = {}, {}, []
    path = folder / f"{name}.mnn"
    with config.using(lazy=True), np.errstate(all="ignore"):
        for position, each in enumerate(sample.inputs):
            if position not in fed:
                operands.append(each)
                continue
            own = format if position == 0 else data_format.NCHW
            var = placeholder(each.shape, own, each.dtype)
            var.name = f"in{position}"
            var.write(each)
            inputs[var.name], formats[var.name] = each, own.name
            operands.append(var)
        results = spec(*operands, **sample.attributes)
        results = list(results) if isinstance(results, tuple) else [results]
        wanted = {}
        for position, each in enumerate(results):
            each.name = f"out{position}"
            wanted[each.name] = np.array(each.read())
        try:
            expr.save(results, path)
        except MnnError as error:
            return name, str(error)
    arrays = [np.asarray(each) for each in sample.inputs if each is not None]
    return Case(name, path, inputs, formats, wanted, arrays)


# --- the reference package, in a process of its own ----------------------------------------------


def serve(jobs: Path) -> None:
    """Run jobs (JSON lines of file, inputs, outputs) and write a line for each as it ends."""
    import MNN
    import MNN.expr as F  # noqa: N812

    log = (jobs.parent / "results.jsonl").open("a", encoding="utf-8")
    for line in jobs.read_text(encoding="utf-8").splitlines():
        job = json.loads(line)
        log.write(json.dumps({"begin": job["name"]}) + "\n")
        log.flush()
        problem = ""
        try:
            arrays = np.load(job["data"])
            module = MNN.nn.load_module_from_file(job["file"], job["inputs"], job["outputs"])
            kinds = {"float32": F.float, "int32": F.int, "uint8": F.uint8, "int8": F.int8}
            fed = []
            for each, format in zip(job["inputs"], job["formats"], strict=True):
                array = np.ascontiguousarray(arrays[each])
                plain = F.NHWC if format == "NHWC" else F.NCHW
                var = F.const(array, list(array.shape), plain, kinds[array.dtype.name])
                fed.append(F.convert(var, F.NC4HW4) if format == "NC4HW4" else var)
            results = module.onForward(fed)
            if len(results) < len(job["outputs"]):
                raise RuntimeError("returns no result")
            found = {}
            for name, var in zip(job["outputs"], results, strict=True):
                plain = F.convert(var, F.NCHW) if var.data_format == F.NC4HW4 else var
                found[name] = np.array(plain.read())
            np.savez(job["result"], **found)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
            problem = f"{type(error).__name__}: {error}"
        log.write(json.dumps({"end": job["name"], "problem": problem}) + "\n")
        log.flush()


def run_reference(cases: list[Case], folder: Path) -> dict[str, str]:
    """Run every case and return what went wrong, by name; results lie beside the files."""
    problems: dict[str, str] = {}
    left = list(cases)
    log = folder / "results.jsonl"
    while left:
        log.unlink(missing_ok=True)
        jobs = folder / "jobs.jsonl"
        jobs.write_text("".join(json.dumps(job(each)) + "\n" for each in left), encoding="utf-8")
        try:
            status = subprocess.run(
                [sys.executable, __file__, "--serve", str(jobs)],
                capture_output=True,
                timeout=SECONDS + len(left),
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            status = 0
        lines = [json.loads(each) for each in log.read_text(encoding="utf-8").splitlines()]
        ended = {each["end"]: each["problem"] for each in lines if "end" in each}
        problems.update({name: problem for name, problem in ended.items() if problem})
        begun = [each["begin"] for each in lines if "begin" in each]
        if begun and begun[-1] not in ended:
            problems[begun[-1]] = f"crashes (signal {-status})" if status < 0 else "hangs"
        left = [each for each in left if each.name not in begun]
        if not begun:
            raise SystemExit("the reference package cannot be started in this Python")
    return problems


def job(case: Case) -> dict[str, Any]:
    """Return a case as the other process reads it, its inputs on disk."""
    data = case.path.with_suffix(".in.npz")
    np.savez(data, **case.inputs)
    return {
        "name": case.name,
        "file": str(case.path),
        "data": str(data),
        "inputs": list(case.inputs),
        "formats": [case.formats[each] for each in case.inputs],
        "outputs": list(case.wanted),
        "result": str(case.path.with_suffix(".out.npz")),
    }


# --- comparing -----------------------------------------------------------------------------------


def difference(case: Case) -> str:
    """Return how the reference package's results differ from ours, empty when they do not."""
    found = np.load(case.path.with_suffix(".out.npz"))
    for name, wanted in case.wanted.items():
        got = found[name]
        if got.shape != wanted.shape:
            return f"{name}: shape {got.shape}, ours {wanted.shape}"
        if not wanted.size:
            continue
        ours, theirs = wanted.astype(np.float64), got.astype(np.float64)
        with np.errstate(all="ignore"):
            same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
            size = np.abs(ours[np.isfinite(ours)]).max(initial=1.0)
            close = np.abs(ours - theirs) <= TOLERANCE * min(size, 1e6)
        if not (same | close).all():
            place = tuple(int(each) for each in np.argwhere(~(same | close))[0])
            return f"{name}{list(place)}: {theirs[place]:.6g}, ours {ours[place]:.6g}"
    return ""


def known_reason(case: Case) -> str:
    """Return why the reference package is known to fail or differ here, empty if it is not."""
    arrays = [*case.operands, *case.wanted.values()]
    if not all(array.size for array in arrays):
        return "empty arrays"
    finite = [np.isfinite(each).all() for each in arrays if each.dtype.kind == "f"]
    if not all(finite):
        return "NaN, infinities and numbers close to the largest"
    return KNOWN.get(case.name, "")


_BYTES = "bytes with an offset of 128"
_BROADCAST = "comparisons that broadcast both operands"
_NAN = "NaN is no number to it"
_VOLUME = "formats of three-dimensional arrays"
_EMPTY_LOOP = "a loop without a turn"

KNOWN = {
    "argmax-2": _NAN,
    "argmin-1": "negative integers",
    "argmin-2": _NAN,
    "attention-1": "value heads of another size than query heads",
    "attention-1-constants": "value heads of another size than query heads",
    "avg_pool-5": "pooling of integers",
    "convert-2": _VOLUME,
    "detection_post_process-1": "suppression per class",
    "detection_post_process-1-constants": "suppression per class",
    "dynamic_quantize-0": _BYTES,
    "dynamic_quantize-1": "a range of length 0",
    "float_to_int8-0-constants": _BYTES,
    "float_to_int8-1-constants": _BYTES,
    "gather_nd-2": "batch dimensions",
    "greater-1": _BROADCAST,
    "greater-1-constants": _BROADCAST,
    "greater_equal-1": _BROADCAST,
    "greater_equal-1-constants": _BROADCAST,
    "grid_sample-3": "reflection with aligned corners",
    "grid_sample-3-constants": "reflection with aligned corners",
    "interpolate-2": "cubic interpolation with half-pixel centres",
    "interpolate-4": "linear interpolation of volumes",
    "less-1": _BROADCAST,
    "less-1-constants": _BROADCAST,
    "less_equal-1": _BROADCAST,
    "less_equal-1-constants": _BROADCAST,
    "loop-1": _EMPTY_LOOP,
    "loop-2": _EMPTY_LOOP,
    "max_pool-5": "pooling of integers",
    "model ops_direct": "cubic interpolation with half-pixel centres",
    "model resize_cubic_half_pixel": "cubic interpolation with half-pixel centres",
    "prelu-1-constants": _VOLUME,
    "random_normal-0": "another generator",
    "random_normal-2": "another generator",
    "random_uniform-0": "another generator",
    "random_uniform-2": "another generator",
    "random_uniform-3": "another generator",
    "reverse_sequence-1": "a sequence of length 0",
    "scatter_elements-4": "scatter with a minimum",
    "scatter_elements-4-constants": "scatter with a minimum",
    "scatter_nd-6": "scatter with a minimum",
    "scatter_nd-6-constants": "scatter with a minimum",
    "segment_mean-1": "a segment without rows",
    "setdiff1d-2": "floating-point numbers",
    "setdiff1d-2-constants": "floating-point numbers",
    "svd-0": "matrices that are not square",
    "svd-1": "stacks of matrices",
    "while_loop-1": _EMPTY_LOOP,
}
"""What the reference package gets wrong, or cannot do, by case."""


def main() -> int:
    """Save, run, compare, print."""
    parser = argparse.ArgumentParser(description="Compare saved files with the reference package.")
    parser.add_argument("--only", default="", help="only cases whose name contains this word")
    parser.add_argument("--list", action="store_true", help="name the equal ones, too")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Path(options.serve))
        return 0
    with tempfile.TemporaryDirectory() as name:
        return report(Path(name), options.only, options.list)


def report(folder: Path, only: str, everything: bool) -> int:
    """Print the table and return the exit status."""
    cases, refused = [], []
    for each in (*fixture_cases(folder), *sample_cases(folder)):
        if only in (each.name if isinstance(each, Case) else each[0]):
            (cases if isinstance(each, Case) else refused).append(each)
    problems = run_reference(cases, folder)
    groups: dict[str, list[str]] = {"equal": [], "cannot": [], "differ": [], "new": []}
    for case in cases:
        found = problems.get(case.name) or difference(case)
        reason = known_reason(case)
        if not found:
            groups["equal"].append(case.name)
        elif not reason:
            groups["new"].append(f"{case.name}: {found}")
        else:
            kind = "cannot" if case.name in problems else "differ"
            groups[kind].append(f"{case.name}: {found} [{reason}]")
    titles = {
        "equal": "equal",
        "cannot": "the reference package cannot run, for a known reason",
        "differ": "differ where the reference package is known to be wrong",
        "new": "fail or differ for no known reason",
    }
    for kind, lines in groups.items():
        if kind != "equal" or everything:
            print(f"\n{titles[kind]}:")
            print("\n".join(f"  {line}" for line in lines) or "  none")
    print("\nnot savable (attributes that files cannot hold):")
    print("\n".join(f"  {name}: {why}" for name, why in refused) or "  none")
    print(f"\n{'files saved and run':58} {len(cases):5}")
    for kind, title in titles.items():
        print(f"{title:58} {len(groups[kind]):5}")
    print(f"{'not savable':58} {len(refused):5}")
    return 1 if groups["new"] else 0


if __name__ == "__main__":
    sys.exit(main())
