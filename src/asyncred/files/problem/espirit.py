"""Sensitivities of coils from the fully sampled centre of k-space, by ESPIRiT.

    Q       projects on the span of all patches [C, b, b] of the centre
    M(r)    = 1/b^2 sum_ij Q_ci,dj exp(2 pi i (i - j) r / N),  [C, C] at pixel r
    s(r)    the eigenvector of M(r) of the largest eigenvalue, 1 where the object is

A patch of k-space is a sum over pixels of s_c(r) exp(-2 pi i k r / N): so these vectors are in the
span, and M(r) s(r) = s(r). Uecker et al., Magnetic Resonance in Medicine 71 (2014) 990. Beside the
object no s fits and the eigenvalue is smaller: there s is 0, and so is the image, unless it is
bright.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from asyncred.files.problem.calibration import NONE, Offset, smooth, waves
from asyncred.grid import BlockGrid

PATCH = 6
"""Side b of a patch, at most; half the shorter side of a small centre."""

KEPT = 0.02
"""Singular vectors of the patches are kept whose value is this part of the largest."""

ITERATIONS = 25
"""Of the power method, which begins with the low frequencies: they are s but for a few percent."""

OUTSIDE, FAINT = 0.9, 0.1
"""An eigenvalue below the first, and low frequencies below this part of their largest magnitude,
are beside the object."""

COARSE = 64
"""Pixels of a side of the picture that the largest magnitude is taken from."""

STRIP = 2**21
"""Complex numbers of M that are held at once, about."""

Complex = NDArray[np.complex64]


def espirit(
    center: Complex, grid: BlockGrid, blocks: list[int], offset: Offset = NONE
) -> dict[int, Complex]:
    """s_c on some blocks of the image, complex64 [C, h, w], sum_c |s_c|^2 = 1 or 0.

    ``center`` complex64 [C, p, q], p and q odd, is k-space with zero frequency in its middle. The
    smooth phase of the image, which nothing tells from that of the coils, goes into s_c.
    """
    M, faint = _operator(center), FAINT * _largest(center, grid)
    return {i: _maps(M, low, grid, i, faint) for i, low in smooth(center, grid, blocks, offset)}


def _largest(center: Complex, grid: BlockGrid) -> float:
    """The largest magnitude of the low frequencies, about."""
    sides = [min(COARSE, side) for side in grid.shape]
    coarse = BlockGrid((sides[0], sides[1]), (sides[0], sides[1]))
    low = next(iter(smooth(center, coarse, [0])))[1]
    return float(np.sqrt(np.sum(low.real**2 + low.imag**2, axis=0)).max())


def _operator(center: Complex) -> Complex:
    """M in k-space, complex64 [C, C, 2 b - 1, 2 b - 1], offset 0 in the middle."""
    b = min(PATCH, (min(center.shape[1:]) + 1) // 2)
    patches = np.lib.stride_tricks.sliding_window_view(center, (b, b), axis=(1, 2))
    vectors = patches.transpose(1, 2, 0, 3, 4).reshape(-1, len(center) * b * b)
    V = _span(vectors)
    Q = (V @ V.conj().T).reshape(len(center), b, b, len(center), b, b) / np.float32(b * b)
    M = np.zeros((len(center), len(center), 2 * b - 1, 2 * b - 1), np.complex64)
    for row in range(b):
        for col in range(b):
            # offsets i - j for all j: from i down to i - b + 1
            part = Q[:, row, col, :, ::-1, ::-1]
            M[:, :, row : row + b, col : col + b] += part
    return M


def _span(vectors: Complex) -> Complex:
    """An orthonormal basis [n, rank] of the span of the rows of vectors [m, n]."""
    tall = vectors.shape[0] > vectors.shape[1]
    gram = vectors.T @ vectors.conj() if tall else vectors @ vectors.conj().T
    values, found = np.linalg.eigh(gram.astype(np.complex128))
    strong = values > max(KEPT**2 * values[-1], 0)
    basis = found[:, strong] if tall else vectors.T @ found[:, strong].conj()
    basis /= np.maximum(np.linalg.norm(basis, axis=0), np.finfo(np.float64).tiny)
    return np.asarray(basis, np.complex64)


def _maps(M: Complex, low: Complex, grid: BlockGrid, i: int, faint: float) -> Complex:
    """s_c on block i, from the low frequencies [C, h, w] there."""
    s = np.empty_like(low)
    rows, cols = grid.block(i)
    right = waves(cols, grid.shape[1], M.shape[3])
    for strip in _strips(rows, len(low) ** 2 * low.shape[2]):
        left = waves(strip, grid.shape[0], M.shape[2])
        at = left @ (M @ right.T)  # [C, C, strip, w]
        part = slice(strip.start - rows.start, strip.stop - rows.start)
        s[:, part], value = _eigenvector(at, low[:, part])
        bright = np.sum(np.abs(low[:, part]) ** 2, axis=0) > faint**2
        s[:, part] *= (value > OUTSIDE) | bright
    return s


def _eigenvector(M: Complex, low: Complex) -> tuple[Complex, NDArray[np.float32]]:
    """That of the largest eigenvalue, in phase with the low frequencies; and this."""
    s = _normed(low)
    value = np.zeros(low.shape[1:], np.float32)
    for _ in range(ITERATIONS):
        turned = np.einsum("cdyx,dyx->cyx", M, s)
        value = np.sum((s.conj() * turned).real, axis=0)
        s = _normed(turned)
    return s, value


def _normed(s: Complex) -> Complex:
    """Divided by the root sum of squares of the coils; 0 where that is."""
    norm = np.sqrt(np.sum(s.real**2 + s.imag**2, axis=0))
    found: Complex = np.divide(s, norm, out=np.zeros_like(s), where=norm > 0)
    return found


def _strips(rows: slice, numbers: int) -> Iterator[slice]:
    """Parts of the rows; a row takes so many numbers."""
    step = max(1, STRIP // numbers)
    for first in range(rows.start, rows.stop, step):
        yield slice(first, min(first + step, rows.stop))
