"""The enumerations of the reference package, with its numbers."""

from __future__ import annotations

import enum

__all__ = [
    "Backend",
    "Interp_Method",
    "MemoryMode",
    "PadValue_Mode",
    "Padding_Mode",
    "Pooling_Mode",
    "PowerMode",
    "PrecisionMode",
    "data_format",
]


class data_format(enum.IntEnum):  # noqa: N801 - the reference package's name
    """Order of the dimensions of a Var.

    NC4HW4 has the logical shape and order of NCHW; the packing of channels by four that gives it
    its name exists only inside `.mnn` runtimes and is never visible here.
    """

    NHWC = 0
    NC4HW4 = 1
    NCHW = 2

    @property
    def channel_last(self) -> bool:
        """True when the channel axis is the last one."""
        return self is data_format.NHWC

    @property
    def layout(self) -> str:
        """`"NHWC"` or `"NCHW"`: the order of the logical dimensions."""
        return "NHWC" if self is data_format.NHWC else "NCHW"


class Padding_Mode(enum.IntEnum):  # noqa: N801
    """CAFFE uses explicit padding; VALID none; SAME the TensorFlow rule (out = ceil(in/stride))."""

    CAFFE = 0
    VALID = 1
    SAME = 2


class Pooling_Mode(enum.IntEnum):  # noqa: N801
    """Kind of pooling."""

    MAXPOOL = 0
    AVEPOOL = 1


class PadValue_Mode(enum.IntEnum):  # noqa: N801
    """How `pad` fills the border."""

    CONSTANT = 0
    REFLECT = 1
    SYMMETRIC = 2
    EDGE = 3


class Interp_Method(enum.IntEnum):  # noqa: N801
    """Interpolation of `crop_and_resize`."""

    BILINEAR = 0
    NEAREST = 1


class Backend(enum.IntEnum):
    """Device numbers; everything but CPU runs on the CPU until its backend exists."""

    CPU = 0
    METAL = 1
    CUDA = 2
    OPENCL = 3
    AUTO = 4
    NN = 5
    OPENGL = 6
    VULKAN = 7
    HIAI = 8
    TRT = 9


class MemoryMode(enum.IntEnum):
    """Memory use of a runtime."""

    Normal = 0
    High = 1
    Low = 2


class PowerMode(enum.IntEnum):
    """Power use of a runtime."""

    Normal = 0
    High = 1
    Low = 2


class PrecisionMode(enum.IntEnum):
    """Arithmetic of matrix kernels: float32 (Normal, High) or a 16-bit type (Low, Low_BF16)."""

    Normal = 0
    High = 1
    Low = 2
    Low_BF16 = 3
