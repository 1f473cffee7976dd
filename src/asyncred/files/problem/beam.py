"""The free beam of a row of the detector, from white and dark fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

LIT = 5.0
"""Standard errors of the white field by which a column that sees light lies above the dark one."""

FAR = 10.0
"""Standard deviations of the fields above which a count of one frame is a zinger."""

FEWEST = 3
"""Frames that tell how they scatter."""


@dataclass(frozen=True)
class Beam:
    """Counts of the free beam in a row."""

    dark: Array
    """float32 [columns]."""
    light: Array
    """White less dark, float32 [columns]."""
    least: float
    """No more light than this is none."""
    noise: float
    """Standard deviation of a dark frame, 0 where it is not known."""


def beam_of(white: Array | None, dark: Array | None, like: Array) -> Beam:
    """Of the fields of a row, float32 [frames, columns]; ``like`` any counts of as many columns.

    Zingers in single frames of the fields are left out of the means.
    """
    zero = np.zeros(like.shape[1], np.float32)
    if white is None:
        return Beam(zero, zero + 1, 0.0, 0.0)
    level, noise = (zero, 0.0) if dark is None else _field(dark)
    bright, scatter = _field(white)
    frames = len(white), 1 if dark is None else len(dark)
    error = np.hypot(scatter / np.sqrt(frames[0]), noise / np.sqrt(frames[1]))
    return Beam(level, bright - level, LIT * float(error), noise)


def _field(frames: Array) -> tuple[Array, float]:
    """The mean of a field, float32 [columns], and the standard deviation of a pixel in darkness.

    Counts scatter with their square root and a constant; of a frame or two nothing is known.
    """
    if len(frames) < FEWEST:
        return np.asarray(frames.mean(axis=0, dtype=np.float64), np.float32), 0.0
    middle = np.median(frames, axis=0)
    unit = np.sqrt(np.maximum(middle, 1))
    apart = (frames - middle) / unit
    scatter = 1.4826 * float(np.median(np.abs(apart)))
    good = (apart <= FAR * scatter) | (scatter == 0)
    total = np.where(good, frames, 0).sum(axis=0, dtype=np.float64)
    deviation = 1.4826 * float(np.median(np.abs(frames - middle)))
    return np.asarray(total / good.sum(axis=0), np.float32), deviation
