"""The rotation axis of tomography from a foreign file, asked for or found, and what it asks of the
image: how wide it is, and what its filtered backprojection makes of rays that are seen twice.

Where the axis is near an edge of the detector (half acquisition) a whole turn sees an object that
is wider than the detector: its far side in all views, its near side in the opposing ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asyncred.files.problem.head import MIDDLE, Asked
from asyncred.files.problem.tomography import asked_center
from asyncred.operators.axis_opposing import opposing
from asyncred.operators.rotation_axis import find_axis

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]

GAP = math.radians(30)
"""A turn is a whole one if no part of it is larger that was not measured."""

PART = 0.25
"""Of a pixel: no other is added to the field of view for less."""

SEEN = 0.03
"""Share of what the views show in the mean at most; of less there is no object."""


@dataclass(frozen=True)
class Found:
    """The axis, and what is to be said of it."""

    center: float
    """The bin, from 0, that sees it."""
    notes: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    silent: tuple[int, ...] = ()
    """Slices that told nothing."""


def rotation_axis(
    path: Path, y: Array, rows: Sequence[int], angles: Numbers, asked: Asked
) -> Found:
    """Of slices [slices, views, bins] by number. Raises ValueError where it is not found."""
    if asked.center is not None:
        center = asked_center(asked.center, y.shape[2])
        place = ", the middle of the detector" if asked.center == MIDDLE else ""
        return Found(center, (f"rotation axis at bin {center:.2f}{place}, as asked",))
    try:
        axis = find_axis(y, angles, rows)
    except ValueError as error:
        raise ValueError(
            f"{path}: the rotation axis was not found: {error}; --center BIN says which bin, from "
            f"0, sees it, --center middle takes that in the middle of the {y.shape[2]}"
        ) from None
    notes = [f"rotation axis at bin {axis.center:.2f} +- {axis.error:.2f}, from {axis.how}"]
    if axis.silent:
        notes.append(
            f"rotation axis: slice{'s' * (len(axis.silent) > 1)} "
            f"{', '.join(map(str, axis.silent))} left out, outside of the beam or empty"
        )
    doubts = () if axis.doubt is None else (f"{axis.doubt}: --center BIN says where it is",)
    return Found(axis.center, tuple(notes), doubts, axis.silent)


def side_for(y: Array, angles: Numbers, center: float) -> int:
    """Side of the image of slices [slices, views, bins]: the bins, or more.

    More where a whole turn shows the object farther from the axis than half of the bins: then as
    many pixels as the field of view is wide.
    """
    bins = int(y.shape[2])
    place = np.abs(np.arange(bins) - center)
    turned = np.sort(np.mod(angles, 2 * np.pi))
    gaps = np.diff(turned, append=turned[0] + 2 * np.pi)
    far = place > bins / 2
    if gaps.max() > GAP or not far.any() or not len(y):
        return bins
    seen = y.mean(axis=(0, 1), dtype=np.float64)
    if np.median(seen[far]) <= SEEN * np.quantile(seen, 0.98):
        return bins
    return bins + 2 * math.ceil(abs(center - (bins - 1) / 2) - PART)


def redundancy(bins: int, center: float) -> Array:
    """How much each bin counts in a backprojection over a whole turn, float32 [bins].

    A bin and the one that sees the same ray from the other side count 2 together, and 2 alone does
    a bin whose ray is seen once. From 0, at the edge near the axis, it rises slowly, as the weights
    of Cho, Rudd and Johnson (Comput. Med. Imaging Graph. 20(1), 1996).
    """
    reach = max(0.5, min(center, bins - 1 - center) + 0.5)
    side = 1 if center < (bins - 1) / 2 else -1
    share = np.clip(side * (np.arange(bins) - center) / reach, -1, 1)
    return np.asarray(1 + np.sin(np.pi / 2 * share), np.float32)


@dataclass(frozen=True)
class Completed:
    """Views of half acquisition, with what the opposing ones see beyond the edge near the axis."""

    y: Array
    """Line integrals [views, more bins]."""
    first: int
    """Where the bins of the detector begin among these."""


def completed(y: Array, angles: Numbers, center: float) -> Completed:
    """All views [views, bins] of a whole turn, as wide as the field of view."""
    bins = y.shape[1]
    if center > (bins - 1) / 2:
        mirrored = completed(y[:, ::-1], angles, bins - 1 - center)
        return Completed(np.ascontiguousarray(mirrored.y[:, ::-1]), 0)
    beyond = max(0, math.floor(bins - 1 - 2 * center))
    place = 2 * center - np.arange(-beyond, bins)  # of the opposing view
    below = np.clip(np.floor(place).astype(np.int64), 0, bins - 2)
    part = np.clip(place - below, 0, 1).astype(np.float32)
    other = opposing(angles, widest=np.inf).opposing(y)
    other = (1 - part) * other[:, below] + part * other[:, below + 1]
    own = np.concatenate((np.zeros(beyond, np.float32), redundancy(bins, center) / 2))
    padded = np.pad(y, ((0, 0), (beyond, 0)))
    return Completed(np.asarray(own * padded + (1 - own) * other, np.float32), beyond)
