"""The beam beside the object: its level in each view, as a share of the white field.

A column is one of air where views, each over its own level at the edge of the detector, stay 1 from
there on. Known from TomoPy's ``normalize_bg``.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float32]
Columns = NDArray[np.bool_]

EDGE = 4
"""Columns at an edge that are held to be air, if any are, and the fewest that tell the level."""

FLAT = 0.01
"""How far air may be from the level at the edge, in the mean over views,"""

CERTAIN = 4.0
"""and in standard errors."""

BRIGHT = 0.9
"""Share of the brightest columns of a view that the edge reaches, in the middle view."""

MARGIN = 0.15
"""Share of the columns of air, towards the object, that are not used."""


def air_columns(transmissions: Array) -> Columns:
    """Columns that see no object in some views [views, columns]; none where that is not clear."""
    smooth = scipy.ndimage.median_filter(transmissions, size=(1, 5), mode="nearest")
    most = int(0.98 * (smooth.shape[1] - 1))
    bright = np.partition(smooth, most, axis=1)[:, most : most + 1]
    found = np.zeros(transmissions.shape[1], bool)
    found[: _run(smooth, bright)] = True
    found[found.size - _run(smooth[:, ::-1], bright) :] = True
    return found


def levels(transmissions: Array, air: Columns) -> Array:
    """The level of the beam, float32 [views, 1]."""
    return np.asarray(
        transmissions[:, air].mean(axis=1, dtype=np.float64, keepdims=True), np.float32
    )


def _run(smooth: Array, bright: Array) -> int:
    """How many columns from the first on are of air and may be used."""
    edge = np.median(smooth[:, :EDGE], axis=1, keepdims=True)
    if not (edge > 0).all() or np.median(edge / bright) < BRIGHT:
        return 0
    ratio = smooth / edge
    mean = ratio.mean(axis=0)
    error = ratio.std(axis=0)[: 2 * EDGE].max() / np.sqrt(len(smooth))
    off = np.flatnonzero(np.abs(mean - 1) > max(FLAT, CERTAIN * error))
    run = int(off[0]) if off.size else smooth.shape[1] // 2
    used = int(run * (1 - MARGIN)) - 1
    return used if used >= EDGE else 0
