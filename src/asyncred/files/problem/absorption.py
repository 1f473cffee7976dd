"""Whether line integrals are those of an object that absorbs: nowhere notably below 0.

They are where the beam is brighter than its white field, and in the bright edges of phase contrast:
an image without negative values then does not fit them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SIDE = 8
"""Views and bins of a patch whose mean is looked at."""

LEAST = 0.005
"""Share of the strongest rays by which a patch may lie below 0,"""

CERTAIN = 5.0
"""besides as many standard errors of its mean."""

STRONGEST = 0.99
"""Rays are no stronger than those that this share of all are weaker than."""


def absorbing(y: Array) -> bool:
    """Of some slices [slices, views, bins]."""
    slices, views, bins = y.shape
    high, wide = min(SIDE, views), min(SIDE, bins)
    rows, columns = views // high, bins // wide
    patches = y[:, : rows * high, : columns * wide].reshape(slices, rows, high, columns, wide)
    mean = patches.mean(axis=(2, 4), dtype=np.float64)
    error = patches.std(axis=(2, 4), dtype=np.float64) / np.sqrt(high * wide)
    least = LEAST * float(np.quantile(y, STRONGEST))
    return bool((mean + CERTAIN * error >= -least).all())
