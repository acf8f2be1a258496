"""OpenCV's functions on the expression graph: `import mnn.cv as cv2`.

Available: reading and writing pictures, `resize`, `cvtColor` among BGR, RGB, GRAY and alpha forms,
`flip`, `rotate`, `copyMakeBorder`. Other OpenCV functions raise an AttributeError that says so.
"""

from __future__ import annotations

from typing import Any

from mnn.cv import constants
from mnn.cv.constants import *
from mnn.cv.io import haveImageReader, haveImageWriter, imdecode, imencode, imread, imwrite
from mnn.cv.transform import copyMakeBorder, cvtColor, flip, resize, rotate

__all__ = [
    *constants.__all__,
    "copyMakeBorder",
    "cvtColor",
    "flip",
    "haveImageReader",
    "haveImageWriter",
    "imdecode",
    "imencode",
    "imread",
    "imwrite",
    "resize",
    "rotate",
]


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"mnn.cv has no {name!r} (yet). Available functions: imread, imwrite, imdecode, imencode, "
        "resize, cvtColor, flip, rotate, copyMakeBorder."
    )
