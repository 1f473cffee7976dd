"""What is wrong with a detector, as far as the transmissions of one slice show it.

A transmission is (count - dark) / (white - dark): 1 where nothing is in the way. Pixels without a
measurement (dead columns, single saturated values) are bridged; zingers, values that a stray photon
made, are replaced by the median of their neighbours.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float32]
Columns = NDArray[np.bool_]
Pixels = NDArray[np.bool_]
Places = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Views and columns of some values."""

STUCK = 0.05
"""A column that never changes is stuck where it is farther than this from 1, the free beam."""

FAR = 10.0
"""Standard deviations, and"""

SHARE = 0.5
"""share of its neighbours, by both of which a zinger lies above them."""

FAINT = 0.01
"""Transmissions below it scatter like this one: there the dark current prevails."""

PASSES = 2
"""How often zingers are looked for: the second time finds those between two that the first found.
As many views before and after tell those of a view."""

NARROW = 5
"""Columns in a row that are bridged where they are saturated, at most."""


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


def bridged_pixels(y: Array, missing: Pixels) -> Array:
    """y [views, columns], missing pixels interpolated linearly along each view, where one lives."""
    out, columns = y, np.arange(y.shape[1])
    for view in np.flatnonzero(missing.any(axis=1)):
        gone = missing[view]
        if not gone.all():
            out = y.copy() if out is y else out
            out[view, gone] = np.interp(columns[gone], columns[~gone], y[view, ~gone])
    return out


def narrow(marked: Pixels) -> Pixels:
    """Of the marked pixels [views, columns] those in runs of a few columns."""
    if not marked.any():
        return marked
    views, columns = marked.shape
    padded = np.zeros((views, columns + 2), np.int8)
    padded[:, 1:-1] = marked
    step = np.diff(padded, axis=1)
    view, first = np.nonzero(step == 1)
    end = np.nonzero(step == -1)[1]
    found = np.zeros_like(marked)
    for k, a, b in zip(view, first, end, strict=True):
        found[k, a:b] = b - a <= NARROW
    return found


def scatter_of(transmissions: Array, light: Array) -> float:
    """How counts [views, columns] scatter, in square roots of themselves; ``light`` [columns].

    1 for photons that are counted one by one.
    """
    around = scipy.ndimage.rank_filter(transmissions, -3, size=3, mode="mirror")
    ratio = (transmissions - around) / _root(around, light)
    return float(1.4826 * np.median(np.abs(ratio - np.median(ratio))))


def zingers(transmissions: Array, light: Array, scatter: float) -> Pixels:
    """The values [views, columns] that stand out above their eight neighbours.

    Above the third largest of the nine, so that a bright line of the object, which goes on in the
    views before and after, is none, and two zingers side by side are two. Counts scatter with
    ``scatter`` times their square root; ``light`` [columns] are those of the free beam.
    """
    found = np.zeros(transmissions.shape, bool)
    places, _ = _zingers(transmissions, light, scatter, _candidates(transmissions))
    found[places] = True
    return found


def without_zingers(transmissions: Array, light: Array, scatter: float) -> tuple[Array, Pixels]:
    """Zingers replaced by the median of three by three, and where they were; [views, columns]."""
    found = np.zeros(transmissions.shape, bool)
    some = _candidates(transmissions)
    for _ in range(PASSES):
        places, nine = _zingers(transmissions, light, scatter, some)
        if not len(nine):
            break
        found[places] = True
        transmissions = transmissions.copy()
        transmissions[places] = np.median(nine, axis=1)
        some = _beside(places, found.shape)
    return transmissions, found


def _candidates(T: Array) -> Places:
    """Where values stand out above two of their neighbours on either side."""
    padded = np.pad(T, 1, mode="reflect")
    beside = np.minimum(padded[1:-1, :-2], padded[1:-1, 2:])
    before = np.minimum(padded[:-2, 1:-1], padded[2:, 1:-1])
    lower = np.maximum(beside, before, out=beside)
    lower *= np.float32(1 + SHARE)
    # The smaller of two neighbours is no larger than the third largest of the nine.
    view, column = np.nonzero(lower < T)
    return view, column


def _beside(places: Places, shape: tuple[int, ...]) -> Places:
    """The neighbours of some values, which alone can stand out once these are replaced."""
    near = np.zeros(shape, bool)
    for view, column in _about(places, shape):
        near[view, column] = True
    found = np.nonzero(near)
    return found[0], found[1]


def _about(places: Places, shape: tuple[int, ...]) -> list[Places]:
    """The nine values about each; beyond an edge those on its other side."""
    views, columns = (
        [n - 1 - np.abs(n - 1 - np.abs(at + k)) for k in (-1, 0, 1)]
        for at, n in zip(places, shape, strict=True)
    )
    return [(view, column) for view in views for column in columns]


def _zingers(T: Array, light: Array, scatter: float, some: Places) -> tuple[Places, Array]:
    """Which of some values are zingers, and the nine about each of them."""
    nine = np.stack([T[place] for place in _about(some, T.shape)], axis=1)
    around = np.partition(nine, -3, axis=1)[:, -3]
    view, column = some
    above = T[some] - around
    bright = (above > FAR * scatter * _root(around, light[column])) & (above > SHARE * around)
    return (view[bright], column[bright]), nine[bright]


def _root(counts: Array, light: Array) -> Array:
    """The square root of counts, as a share of the free beam's."""
    return np.asarray(np.sqrt(np.maximum(counts, np.float32(FAINT)) / light))
