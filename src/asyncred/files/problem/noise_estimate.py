"""The noise of measurements, from differences of neighbours that cancel what is smooth.

The median of their magnitudes tells it where most of an image is smooth, whatever its edges are
(Donoho, De-noising by soft-thresholding, IEEE Trans. Inf. Theory 41(3), 1995). Fine texture is
taken for noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

GAUSSIAN = 0.6745
"""The median magnitude of normal numbers of standard deviation 1."""

FEWEST = 64
"""Differences that tell the noise."""

SIDE = 512
"""Of the part of an image that is looked at, at most."""


def of_image(y: Array) -> float | None:
    """Of an image [H, W], by second differences along both axes.

    Immerkaer, Fast noise variance estimation, Computer Vision and Image Understanding 64(2), 1996.
    """
    return _scale(np.diff(np.diff(y, 2, axis=0), 2, axis=1), 36)


def of_pixels(y: Array, measured: NDArray[np.bool_]) -> float | None:
    """Of some pixels of an image [H, W], by differences of four neighbours that were measured."""
    known = measured[1:] & measured[:-1]
    known = known[:, 1:] & known[:, :-1]
    return _scale(np.diff(np.diff(y, axis=0), axis=1)[known], 4)


def of_lines(y: Array) -> float | None:
    """Of lines [lines, n], by fourth differences along each."""
    return _scale(np.diff(y, 4, axis=1), 70)


def middle(shape: tuple[int, int]) -> tuple[slice, slice]:
    """The part of an image that is looked at."""
    first = [max(0, (side - SIDE) // 2) for side in shape]
    return slice(first[0], first[0] + SIDE), slice(first[1], first[1] + SIDE)


def relative(sigma: float | None, y: Array) -> float | None:
    """``sigma`` over the root mean square of y; None where one of them tells nothing."""
    rms = float(np.sqrt(np.mean(np.square(np.abs(y), dtype=np.float64)))) if y.size else 0.0
    return sigma / rms if sigma is not None and 0 < rms < np.inf else None


def _scale(differences: Array, squares: float) -> float | None:
    """The noise of numbers whose differences have weights of this sum of ``squares``.

    Differences of 0, as of empty or saturated parts, are left out.
    """
    found = np.abs(differences[np.isfinite(differences) & (differences != 0)])
    if found.size < FEWEST:
        return 0.0 if differences.size >= FEWEST and np.isfinite(differences).all() else None
    return float(np.median(found)) / float(np.sqrt(squares)) / GAUSSIAN
