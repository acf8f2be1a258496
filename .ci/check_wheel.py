"""Check that a wheel is pure Python and complete: check_wheel.py WHEEL SOURCE_ROOT."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

NATIVE = (".so", ".pyd", ".dll", ".dylib", ".a", ".o", ".c", ".cc", ".cpp", ".pyx")
DATA = ("mnn/py.typed", "mnn/format/schema.json", "mnn/demo/digits.mnn")
MODEL_LIMIT_BYTES = 200_000


def faults(wheel: Path, source: Path) -> list[str]:
    """Return what is wrong with the wheel, one sentence each."""
    found = []
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        metadata = "".join(
            archive.read(name).decode() for name in sizes if name.endswith(".dist-info/WHEEL")
        )
    if not wheel.name.endswith("-py3-none-any.whl"):
        found.append(f"{wheel.name} is not tagged py3-none-any")
    if "Root-Is-Purelib: true" not in metadata:
        found.append("the wheel does not declare itself pure Python")
    found += [f"{name} is native code or its source" for name in sizes if name.endswith(NATIVE)]
    found += [
        f"{name} is outside the package"
        for name in sizes
        if not name.startswith("mnn/") and ".dist-info/" not in name
    ]
    expected = {path.relative_to(source).as_posix() for path in source.glob("mnn/**/*.py")}
    expected.update(DATA)
    found += [f"{name} is missing" for name in sorted(expected - set(sizes))]
    if not any(name.startswith("mnn/demo/") and name.endswith(".png") for name in sizes):
        found.append("mnn/demo/ has no picture")
    if not any(name.endswith("/LICENSE") for name in sizes):
        found.append("the licence is missing")
    if sizes.get("mnn/demo/digits.mnn", 0) >= MODEL_LIMIT_BYTES:
        found.append(f"mnn/demo/digits.mnn has {MODEL_LIMIT_BYTES} bytes or more")
    return found


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} WHEEL SOURCE_ROOT")
    if problems := faults(Path(sys.argv[1]), Path(sys.argv[2])):
        sys.exit("\n".join(problems))
