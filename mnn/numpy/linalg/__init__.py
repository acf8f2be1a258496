"""Linear algebra: NumPy's LAPACK for decompositions, the graph's own operators for products."""

from __future__ import annotations

from numpy.linalg import LinAlgError

from mnn.numpy.linalg.decompositions import *
from mnn.numpy.linalg.norms import *
from mnn.numpy.linalg.products import *
from mnn.numpy.linalg.solving import *
from mnn.numpy.products import tensordot, vecdot

__all__ = [
    "LinAlgError",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]
