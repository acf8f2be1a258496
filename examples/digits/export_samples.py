"""Write one picture of each digit from the test part as PNG files.

    python export_samples.py FOLDER

Files are called digit_<label>_<number>.png, where the number is the position in scikit-learn's
collection. The pictures are the first of each digit in the test part, whatever a network makes of
them. Each of the 8 x 8 pixels becomes a block of 4 x 4, so reducing the picture to 8 x 8 with
bilinear sampling, which reads the middle of each block, gives the original back.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from pictures import load_split
from PIL import Image

BLOCK = 4


def export(folder: Path) -> list[Path]:
    """Write the pictures into `folder`, which is made if needed, and return their paths."""
    _, test = load_split()
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for label in range(10):
        first = int(np.flatnonzero(test.labels == label)[0])
        pixels = np.round(test.images[first, 0] * 255).astype(np.uint8)
        path = folder / f"digit_{label}_{test.numbers[first]}.png"
        Image.fromarray(pixels.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)).save(path)
        written.append(path)
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    for written_path in export(Path(sys.argv[1])):
        print(written_path)
