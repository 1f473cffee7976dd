"""The rotation axis of tomography in parallel beams, found from the measurements alone.

Of each slice two estimates are made: from opposing views, which may see a part of the object only
(``axis_opposing``), and from how views change with the angle, which asks for no opposing views but
for the whole object (``axis_harmonics``). Each tells its standard error, and whether there is
another place that is nearly as good. The surer one counts; where both are sure, they have to agree.
The axis is the median over the slices, weighted by their errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from asyncred.operators.axis_estimate import Estimate, without_stripes
from asyncred.operators.axis_harmonics import Motion, Parities, motion, of_harmonics, polynomials_of
from asyncred.operators.axis_opposing import Pairs, of_opposing, opposing

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]

FEWEST = 8
"""Views and bins from which an axis is told."""

CLEAR = 0.5
"""No estimate counts whose second best place is better than this share of the best."""

LARGEST = 1.0
"""No estimate counts whose standard error is larger, in bins."""

DOUBTFUL = 0.5
"""A standard error, in bins, that is worth a doubt."""

CAREFUL = 1.5
"""Factor by which the error of the centres of mass, which drift moves, is held to be larger, and by
which they have to be surer still."""

POOR = 0.1
"""The error of an estimate, in bins, from which on it is held against the centres of mass."""

LEAST = 0.01
"""Bins: no error is said to be smaller."""

APART, SURE = 1.0, 4.0
"""Estimates disagree that are farther apart than so many bins, and standard errors."""


@dataclass(frozen=True)
class Axis:
    """The rotation axis, and what it was found from."""

    center: float
    """The bin, counted from 0, that it projects to."""
    error: float
    """Standard error, in bins."""
    how: str
    """What it was found from, in a few words."""
    doubt: str | None
    """What speaks against it."""
    silent: tuple[int, ...]
    """Slices that tell nothing, by number."""


def find_axis(y: Array, angles: Numbers, rows: Sequence[int] | None = None) -> Axis:
    """The axis that slices have in common; it is looked for on the whole detector.

    ``y`` float32 [slices, views, bins], line integrals, finite; ``angles`` in radians [views];
    ``rows`` the numbers of the slices (from 0). Raises ValueError where they do not tell.
    """
    rows = range(len(y)) if rows is None else rows
    span = min(360.0, float(np.degrees(np.ptp(angles))))
    pairs, polynomials = opposing(angles), polynomials_of(angles)
    found: dict[int, Estimate] = {}
    split = None
    for row, slice_ in zip(rows, y, strict=True):
        estimate, other = _of_slice(slice_, angles, pairs, polynomials)
        if estimate is not None:
            found[row] = estimate
            split = split or (_disagreement(estimate, other) if other else None)
    if not found:
        raise ValueError(
            f"{angles.size} views over {span:.4g} degrees "
            f"of {len(y)} slice{'s' * (len(y) > 1)} do not tell it"
        )
    center, error = _median(list(found.values()))
    nearest = min(found.values(), key=lambda one: abs(one.center - center))
    return Axis(
        center,
        error,
        f"{nearest.how} over {span:.4g} degrees",
        _spread(found, center) or split or _scatter(center, error),
        tuple(row for row in rows if row not in found),
    )


def _of_slice(
    y: Array, angles: Numbers, pairs: Pairs, polynomials: Parities | None
) -> tuple[Estimate | None, Estimate | None]:
    """The surer estimate and the other, as far as they count."""
    if min(y.shape) < FEWEST:
        return None, None
    clean = without_stripes(y)
    moved = motion(clean, angles)
    harmonics = of_harmonics(clean, moved, polynomials) if polynomials else None
    both = (
        of_opposing(clean, pairs) if len(pairs) else None,
        _sharpened(harmonics, moved) if harmonics else None,
    )
    counting = [one for one in both if one and one.rival < CLEAR and one.error < LARGEST]
    counting.sort(key=lambda one: one.error)
    first, second, *_ = *counting, None, None
    return first, second


def _sharpened(found: Estimate, moved: Motion) -> Estimate:
    """The bin that the centres of mass go about, where that is much surer and confirms the other.

    So it is of less than half a turn, when no view opposes another one.
    """
    error = CAREFUL * moved.error
    apart = abs(moved.axis - found.center)
    poor = max(POOR, CAREFUL * error) < found.error < LARGEST
    if not poor or apart > SURE * (found.error + error):
        return found
    return replace(found, center=moved.axis, error=error)


def _disagreement(one: Estimate, other: Estimate) -> str | None:
    apart = abs(one.center - other.center)
    if apart <= max(APART, SURE * (one.error + other.error)):
        return None
    return (
        f"{one.how} put the rotation axis at bin {one.center:.2f}, but {other.how} at bin "
        f"{other.center:.2f}"
    )


def _spread(found: dict[int, Estimate], center: float) -> str | None:
    """Slices that do not go with the others."""
    far = {
        row: one
        for row, one in found.items()
        if abs(one.center - center) > max(APART, SURE * one.error)
    }
    if not far:
        return None
    named = ", ".join(f"slice {row} at bin {one.center:.2f}" for row, one in far.items())
    return f"slices disagree about the rotation axis: bin {center:.2f} is taken, but {named}"


def _scatter(center: float, error: float) -> str | None:
    if error <= DOUBTFUL:
        return None
    return f"the rotation axis is known to {error:.2g} bins only, about bin {center:.2f}"


def _median(found: list[Estimate]) -> tuple[float, float]:
    """The median weighted with 1 / error^2, and its standard error."""
    found = sorted(found, key=lambda one: one.center)
    centers = np.array([one.center for one in found])
    weights = np.array([max(one.error, LEAST) ** -2 for one in found])
    center = float(centers[np.searchsorted(np.cumsum(weights), weights.sum() / 2)])
    spread = 1.4826 * float(np.median(np.abs(centers - center))) / np.sqrt(centers.size)
    return center, max(float(weights.sum()) ** -0.5, spread)
