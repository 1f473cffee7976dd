"""How good an image is, and whether its blocks show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncred.grid import BlockGrid

Array = NDArray[np.float32] | NDArray[np.complex64]


def snr(truth: Array, x: Array) -> float:
    """20 log10(||truth|| / ||truth - x||), in dB; inf where they are equal."""
    return snr_from_squares(_square(truth), _square(truth - x))


def snr_from_squares(truth: float, error: float) -> float:
    """The same from ||truth||^2 and ||truth - x||^2."""
    if error == 0:
        return float("inf")
    return float(10 * np.log10(truth / error)) if truth > 0 else float("-inf")


def psnr(truth: Array, x: Array) -> float:
    """-10 log10 of the mean square of truth - x, in dB; images in [0, 1]."""
    return snr_from_squares(truth.size, _square(truth - x))


def seam_ratio(x: Array, grid: BlockGrid) -> float:
    """Mean jump across the borders of blocks over the mean jump inside them; 1 shows no seam."""
    across, inside = [], []
    for axis in (0, 1):
        jump = np.abs(np.diff(x.astype(np.float64), axis=axis))
        size = grid.block_shape[axis]
        border = (np.arange(jump.shape[axis]) + 1) % size == 0
        across.append(np.compress(border, jump, axis=axis).ravel())
        inside.append(np.compress(~border, jump, axis=axis).ravel())
    return float(np.concatenate(across).mean() / np.concatenate(inside).mean())


def _square(x: Array) -> float:
    return float(np.sum(np.square(np.abs(x), dtype=np.float64)))
