"""The native kernels, and what they compute as numpy says it.

The data gradient A^T (A x - y) of a dense float32 block. Notation: A (m, n), one row a measurement,
row-major; x (n,), the pixels of a block; y (m,), the measurements. All are float32 and contiguous;
the unit of the result is that of A times that of y. A may be float16, of finite numbers, as its
``view`` of uint16: the sums are in single precision all the same. ``halved`` makes one.

The native functions read A once where two products read it twice, and let go of the interpreter
meanwhile. They write into ``out`` (n,) and return None:

``dense_gradient(A, x, y, out, threads)``
    out = A^T (A x - y).
``dense_gradient_rows(A, x, y, rows, scale, out, threads)``
    out = scale * sum over j in rows of A_j (<A_j, x> - y_j), rows int64 (w,). With rows drawn
    uniformly and scale = m / w its mean is the full gradient.

Line integrals through an image block in parallel beams, after Joseph, "An improved algorithm for
reprojecting rays through pixel images" (1982), and their transpose; ``operators.parallel_beam`` has
the geometry. x (h, w) is the block, whose first column is at ``left`` and whose first row at
``top``, in pixels from the rotation axis, upwards; out (views, width) has of each view the bins
from ``first`` on:

``joseph_forward(x, left, top, cosine, sine, first, center, spacing, pixel, out, threads)``
    out = the integrals along x cos + y sin = (bin - center) spacing, in units of ``pixel``.
``joseph_adjoint(r, left, top, cosine, sine, first, center, spacing, pixel, out, threads)``
    out (h, w) = the transpose of that, applied to r (views, width).

The same along the rays of a point source; ``operators.fan_beam`` has the geometry:

``fan_forward(x, left, top, cosine, sine, first, tangent, aside, distance, pixel, out, threads)``
    out = the integrals along -aside u - distance v + s (tangent u + v), tangent (bins,) ascending.
``fan_adjoint(r, left, top, cosine, sine, first, tangent, aside, distance, pixel, out, threads)``
    out (h, w) = the transpose of that.
``fan_backprojection(...)``
    The same, with what a ray gives to a pixel times distance / depth of the pixel along v.

All raise TypeError for another dtype, order or number of dimensions, ValueError for lengths that
do not fit or threads < 1, and IndexError for a row outside 0..m or a run outside the bins. The
result is the same, bit for bit, for the same number of threads. One thread starts no other.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

# Threads of OpenMP that wait are to sleep: spinning, they take the core of the denoiser's threads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from asyncred.operators._kernels import (
    dense_gradient,
    dense_gradient_rows,
    fan_adjoint,
    fan_backprojection,
    fan_forward,
    joseph_adjoint,
    joseph_forward,
    openmp,
    to_half,
)

__all__ = [
    "dense_gradient",
    "dense_gradient_numpy",
    "dense_gradient_rows",
    "dense_gradient_rows_numpy",
    "fan_adjoint",
    "fan_backprojection",
    "fan_forward",
    "halved",
    "joseph_adjoint",
    "joseph_forward",
    "joseph_forward_numpy",
    "openmp",
]


def halved(A: NDArray[np.float32]) -> NDArray[np.float16]:
    """A (m, n) in half precision, rounded to nearest, as ``astype`` does it in 16 times the time.

    Raises ValueError where a number is too large for it.
    """
    out = np.empty(A.shape, np.float16)
    if not to_half(A, out.view(np.uint16)):
        raise ValueError("holds numbers beyond 65520, the end of half precision")
    return out


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


def joseph_forward_numpy(
    x: NDArray[np.floating],
    cosine: NDArray[np.float64],
    sine: NDArray[np.float64],
    bins: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Integrals through a whole image x [h, w] along rays at ``bins`` pixels from its middle.

    [views, bins], what `joseph_forward` is held to: line by line, with ``numpy.interp``.
    """
    h, w = x.shape
    columns, rows = np.arange(w) - (w - 1) / 2, (h - 1) / 2 - np.arange(h)
    result = np.zeros((cosine.size, bins.size))
    for v, (c, s) in enumerate(zip(cosine, sine, strict=True)):
        if abs(c) >= abs(s):
            for line, y in zip(x, rows, strict=True):
                result[v] += _interpolated((bins - y * s) / c, columns, line) / abs(c)
        else:
            for line, place in zip(x.T, columns, strict=True):
                met = (bins - place * c) / s
                result[v] += _interpolated(met, rows[::-1], line[::-1]) / abs(s)
    return result


def _interpolated(
    at: NDArray[np.float64], places: NDArray[np.float64], values: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Linear between the values, and down to 0 within one pixel beside them."""
    wider = np.concatenate([[places[0] - 1], places, [places[-1] + 1]])
    return np.interp(at, wider, np.pad(values, 1))
