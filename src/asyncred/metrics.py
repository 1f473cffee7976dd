"""How good an image is, and whether its blocks show."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.grid import BlockGrid

Array = NDArray[np.float32] | NDArray[np.complex64]

WINDOW = 7
"""Side of the windows of the structural similarity."""


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


def ssim(truth: NDArray[np.float32], x: NDArray[np.float32]) -> float:
    """Structural similarity of gray pictures (Wang et al. 2004), 1 where they are equal.

    Means over windows of 7x7 inside the picture, and the truth's largest value as their range, as
    fastMRI has it (Zbontar et al. 2018). NaN where a side is shorter than a window.
    """
    a, b = truth.astype(np.float64), x.astype(np.float64)
    if min(a.shape) < WINDOW:
        return float("nan")
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    mean_a, mean_b = _means(a), _means(b)
    var_a = unbiased * (_means(a * a) - mean_a**2)
    var_b = unbiased * (_means(b * b) - mean_b**2)
    both = unbiased * (_means(a * b) - mean_a * mean_b)
    c1, c2 = (0.01 * a.max()) ** 2, (0.03 * a.max()) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (2 * mean_a * mean_b + c1) * (2 * both + c2)
        found /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    edge = WINDOW // 2
    return float(found[edge:-edge, edge:-edge].mean())


def _means(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over windows about each pixel."""
    return np.asarray(scipy.ndimage.uniform_filter(x, WINDOW))


def against(reference: NDArray[np.float32], x: Array) -> tuple[float, float]:
    """SNR in dB and SSIM of |x| to the reference after the best scalar factor.

    Both are cut to the middle that they share. NaN where the reference is 0.
    """
    sides = [min(pair) for pair in zip(reference.shape, x.shape, strict=True)]
    a, b = (_middle(image, sides) for image in (reference, np.abs(x)))
    square = float(np.sum(np.square(b, dtype=np.float64)))
    if not a.any() or square == 0 or not np.isfinite(a).all():
        return float("nan"), float("nan")
    scaled = b * np.float32(np.sum(a * b, dtype=np.float64) / square)
    return snr(a, scaled), ssim(a, scaled)


def _middle(image: NDArray[np.float32], sides: list[int]) -> NDArray[np.float32]:
    """The part of these sides about pixel n // 2."""
    first = [n // 2 - side // 2 for n, side in zip(image.shape, sides, strict=True)]
    return image[tuple(slice(f, f + side) for f, side in zip(first, sides, strict=True))]


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
