"""An estimate of the rotation axis from one slice, and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

STRIPE = 9
"""Bins; what is narrower in the mean of all views comes from the detector."""


@dataclass(frozen=True)
class Estimate:
    """Where a criterion is best."""

    center: float
    """The bin, counted from 0, that the axis projects to."""
    error: float
    """Standard error, in bins."""
    match: float
    """How well the views fit together about it, 1 at best."""
    rival: float
    """How good the second best place is, as a share of the best: near 1 the place is not clear."""
    how: str
    """What it was found from."""


def rival(score: Numbers, best: int, apart: int) -> float:
    """The best score that does not belong to the peak at ``best``, as a share of it.

    The peak goes down on both sides for as long as the score falls, but ``apart`` places at least.
    """
    top = float(score[best])
    sides = [score[:best][::-1], score[best + 1 :]]
    others = [0.0]
    for side in sides:
        rises = np.flatnonzero(np.diff(side[max(0, apart - 1) :]) > 0)
        if rises.size:
            others.append(float(side[max(0, apart - 1) + int(rises[0]) :].max()))
    return max(others) / top if top > 0 else 1.0


def without_stripes(y: NDArray[np.float32]) -> Numbers:
    """Views [views, bins] without what stands out in the mean of all of them."""
    mean = y.mean(axis=0, dtype=np.float64)
    return np.asarray(y - (mean - scipy.ndimage.median_filter(mean, STRIPE, mode="nearest")))
