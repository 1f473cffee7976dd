"""The noise of measurements, from differences of neighbours that cancel what is smooth.

The median of their magnitudes tells it where most of an image is smooth, whatever its edges are
(Donoho, De-noising by soft-thresholding, IEEE Trans. Inf. Theory 41(3), 1995). Fine texture is
taken for noise. Where measurements have weights, a difference counts with the mean of those of its
values: that is the noise of W^(1/2) y, whose weights may be made of y itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]

GAUSSIAN = 0.6745
"""The median magnitude of normal numbers of standard deviation 1."""

FEWEST = 64
"""Differences that tell the noise."""

LINES = 16
"""Of these at one place of all lines."""

SIDE = 512
"""Of the part of an image that is looked at, at most."""


def of_image(y: Array, w: Array | None = None) -> float | None:
    """Of an image [H, W] with weights (1) likewise, by second differences along both axes.

    Immerkaer, Fast noise variance estimation, Computer Vision and Image Understanding 64(2), 1996.
    """
    return _scale(np.diff(np.diff(y, 2, axis=0), 2, axis=1) * _roots(w, (3, 3)), 36)


def of_pixels(y: Array, measured: NDArray[np.bool_], w: Array | None = None) -> float | None:
    """Of some pixels of an image [H, W], by differences of four neighbours that were measured."""
    roots = np.broadcast_to(_roots(w, (2, 2)), (y.shape[0] - 1, y.shape[1] - 1))
    known = measured[1:] & measured[:-1]
    known = known[:, 1:] & known[:, :-1]
    return _scale(np.diff(np.diff(y, axis=0), axis=1)[known] * roots[known], 4)


def of_lines(y: Array, w: Array | None = None) -> float | None:
    """Of lines [lines, n], by fourth differences along each: the root mean square over places.

    A ray's noise grows with what it crosses, so that one median over all would miss the noisiest.
    """
    differences = np.diff(y, 4, axis=1) * _roots(w, (1, 5))
    size = np.abs(differences)
    known = np.isfinite(size) & (size != 0)
    count = known.sum(axis=0)
    if not (count >= LINES).any():
        return _scale(differences, 70)
    ordered = np.sort(np.where(known, size, np.inf), axis=0)[:, count >= LINES]
    medians = np.take_along_axis(ordered, (count[count >= LINES] // 2)[None], axis=0)
    return float(np.sqrt(np.mean(np.square(medians / GAUSSIAN)) / 70))


def middle(shape: tuple[int, int]) -> tuple[slice, slice]:
    """The part of an image that is looked at."""
    first = [max(0, (side - SIDE) // 2) for side in shape]
    return slice(first[0], first[0] + SIDE), slice(first[1], first[1] + SIDE)


def relative(sigma: float | None, y: Array, w: Array | None = None) -> float | None:
    """``sigma`` over the root mean square of y; None where one of them tells nothing.

    With weights, of W^(1/2) y where they are not 0, in the mean.
    """
    square = np.square(np.abs(y), dtype=np.float64)
    if w is not None:
        square = (square * w)[w > 0]
    rms = float(np.sqrt(np.mean(square))) if square.size else 0.0
    return sigma / rms if sigma is not None and 0 < rms < np.inf else None


def _roots(w: Array | None, side: tuple[int, int]) -> Array:
    """Roots of the means of weights over boxes of these sides; NaN where one of them is 0."""
    if w is None or any(n < least for n, least in zip(w.shape, side, strict=True)):
        return np.ones((1, 1), np.float32)
    boxes = sliding_window_view(w, side)
    found = np.sqrt(boxes.mean(axis=(2, 3)))
    return np.where(boxes.min(axis=(2, 3)) > 0, found, np.float32(np.nan))


def _scale(differences: Array, squares: float) -> float | None:
    """The noise of numbers whose differences have weights of this sum of ``squares``.

    Differences of 0, as of empty or saturated parts, are left out.
    """
    found = np.abs(differences[np.isfinite(differences) & (differences != 0)])
    if found.size < FEWEST:
        return 0.0 if differences.size >= FEWEST and np.isfinite(differences).all() else None
    return float(np.median(found)) / float(np.sqrt(squares)) / GAUSSIAN
