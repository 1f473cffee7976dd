"""Views between those that were measured, for the start of a run: where some are missing, filtered
backprojection leaves streaks that take many updates to go.

    y(phi) = (1 - w) y(a) + w y(b),    w = (phi - a) / (b - a)

with a and b the measured angles on either side of the gap, opposing views mirrored about the axis.
Linear interpolation along the views, as Kostler, Prummer, Rude and Hornegger (Adaptive variational
sinogram interpolation of sparsely sampled CT data, ICPR 2006) compare theirs with. Only the start
has these views, not the data term.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncred.operators.line_integrals import MISSING

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]

WIDEST = np.radians(45)
"""A wider gap is left as it is."""


@dataclass(frozen=True)
class Filled:
    """Views in the gaps, over half a turn."""

    angles: Numbers
    """Radians [views]."""
    weights: Numbers
    """The angle that each of them stands for [views]."""
    y: Array
    """Line integrals [views, bins]."""


def filled(angles: Numbers, center: float, y: Callable[[int], Array]) -> Filled | None:
    """The views that are missing; None where no gap is left that can be bridged.

    ``angles`` in radians [views], ``y`` gives the line integrals [bins] of a view; ``center`` is
    the bin that sees the rotation axis.
    """
    turns, turned = np.divmod(angles, np.pi)
    order = np.argsort(turned)
    gaps = np.diff(turned[order], append=turned[order[0]] + np.pi)
    wide = np.flatnonzero((gaps > MISSING * np.pi / angles.size) & (gaps <= WIDEST))
    step = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else np.pi
    found: list[tuple[Numbers, Numbers, Array]] = []
    for k in wide:
        before, after = order[k], order[(k + 1) % order.size]
        count = round(float(gaps[k]) / step) - 1
        if count < 1:
            continue
        share = np.arange(1, count + 1) / (count + 1)
        crossed = int(k == order.size - 1)
        a = _turned(y(int(before)), center, int(turns[before]))
        b = _turned(y(int(after)), center, int(turns[after]) + crossed)
        lines = (1 - share)[:, None] * a + share[:, None] * b
        weights = np.full(count, gaps[k] / (count + 1))
        found.append((turned[before] + share * gaps[k], weights, np.asarray(lines, np.float32)))
    if not found:
        return None
    parts = zip(*found, strict=True)
    return Filled(*(np.concatenate(part) for part in parts))


def _turned(y: Array, center: float, half_turns: int) -> Array:
    """A view [bins] as it is seen after so many half turns."""
    if half_turns % 2 == 0:
        return y
    bins = np.arange(y.size)
    return np.asarray(np.interp(2 * center - bins, bins, y), np.float32)
