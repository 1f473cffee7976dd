"""What is wrong with a detector, as far as the transmissions of one slice show it.

A transmission is (count - dark) / (white - dark): 1 where nothing is in the way. Dead columns have
no measurement and are bridged; zingers are counted and left as they are.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float32]
Columns = NDArray[np.bool_]

STUCK = 0.05
"""A column that never changes is stuck where it is farther than this from 1, the free beam."""

FAR = 10.0
"""Standard deviations, and"""

SHARE = 0.5
"""share of its neighbours, by both of which a zinger lies above them."""

FAINT = 0.01
"""Transmissions below it scatter like this one: there the dark current prevails."""


def stuck(transmissions: Array) -> Columns:
    """Columns that show the same in all views [views, columns], and no free beam; [columns]."""
    same = np.ptp(transmissions, axis=0) == 0
    stands: Columns = same & (np.abs(transmissions[0] - 1) > STUCK)
    return stands if len(transmissions) > 1 else np.zeros_like(same)


def bridged(y: Array, dead: Columns) -> Array:
    """y [views, columns] with dead columns interpolated linearly between the nearest that live."""
    if not dead.any():
        return y
    columns, living = np.arange(dead.size), np.flatnonzero(~dead)
    place = np.interp(columns[dead], living, np.arange(living.size))
    left = np.floor(place).astype(np.int64)
    right = np.minimum(left + 1, living.size - 1)
    share = (place - left).astype(np.float32)
    out = y.copy()
    out[:, dead] = (1 - share) * y[:, living[left]] + share * y[:, living[right]]
    return out


def zingers(transmissions: Array) -> int:
    """How many values [views, columns] stand out above their eight neighbours.

    Above the third largest of the nine, so that a bright line of the object, which goes on in the
    views before and after, is none, and two zingers side by side are two. Counts scatter with the
    square root of their mean; the scale is the median of all deviations.
    """
    around = scipy.ndimage.rank_filter(transmissions, -3, size=3, mode="mirror")
    above = transmissions - around
    scatter = np.sqrt(np.maximum(around, FAINT))
    deviation = np.abs(above / scatter - np.median(above / scatter))
    level = FAR * 1.4826 * np.median(deviation)
    return int(np.count_nonzero((above > level * scatter) & (above > SHARE * around)))
