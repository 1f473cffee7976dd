"""The data gradient A^T (A x - y) of a dense float32 block, natively and as numpy says it.

Notation: A (m, n), one row a measurement, row-major; x (n,), the pixels of a block; y (m,), the
measurements. All are float32 and contiguous; the unit of the result is that of A times that of y.

The native functions read A once where two products read it twice, and let go of the interpreter
meanwhile. They write into ``out`` (n,) and return None:

``dense_gradient(A, x, y, out, threads)``
    out = A^T (A x - y).
``dense_gradient_rows(A, x, y, rows, scale, out, threads)``
    out = scale * sum over j in rows of A_j (<A_j, x> - y_j), rows int64 (w,). With rows drawn
    uniformly and scale = m / w its mean is the full gradient.

They raise TypeError for another dtype, order or number of dimensions, ValueError for lengths that
do not fit or threads < 1, and IndexError for a row outside 0..m. The result is the same, bit for
bit, for the same number of threads. One thread starts no other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncred._kernels import dense_gradient, dense_gradient_rows

__all__ = [
    "dense_gradient",
    "dense_gradient_numpy",
    "dense_gradient_rows",
    "dense_gradient_rows_numpy",
]


def dense_gradient_numpy(
    A: NDArray[np.floating], x: NDArray[np.floating], y: NDArray[np.floating]
) -> NDArray[np.floating]:
    """A^T (A x - y), shape (n,), in the precision of the arguments.

    What `dense_gradient` is held to.
    """
    gradient: NDArray[np.floating] = A.T @ (A @ x - y)
    return gradient


def dense_gradient_rows_numpy(
    A: NDArray[np.floating],
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    rows: NDArray[np.int64],
    scale: float,
) -> NDArray[np.floating]:
    """Scaled sum over j in rows of A_j (<A_j, x> - y_j), shape (n,).

    What `dense_gradient_rows` is held to.
    """
    return scale * dense_gradient_numpy(A[rows], x, y[rows])
