"""Weights of the rays of fan beams in a filtered backprojection: some are measured twice.

    beta     angle of a view, b = beta - beta_0 from the first of a scan over B
    g        angle of a ray from the one through the rotation axis, against the turn of the source

The rays (b, g) and (b + pi + 2 g, -g) are one; their weights are to sum up to 1, and to be smooth.

- Over a whole turn every ray is measured twice: 1/2 each. A detector that sees only one side of the
  object as a whole measures the rays of that side once: 1/2 (1 + sin(pi g / (2 o))) where both
  sides are seen, |g| < o (Wang, Medical Physics 29(7), 2002, with its flat detector's angles).
- Over less: Parker's weights (Parker, Medical Physics 9(2), 1982; Kak and Slaney, Principles of
  Computerized Tomographic Imaging, 1988, section 3.5), with B = pi + 2 D for any D, as Silver
  (Medical Physics 27(4), 2000) has them. They are 1 for rays that were measured once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncred.operators.line_integrals import MISSING, angular_weights

Numbers = NDArray[np.float64]

ONE_SIDED = 1.1
"""A side of the detector that is so many times as wide as the other is meant to be."""


@dataclass(frozen=True)
class Scan:
    """The angles of all views, radians [views], and what of a turn they cover."""

    angles: Numbers
    start: float
    """Of the arc that was measured."""
    span: float
    """From its first view to its last; 2 pi for a whole turn."""

    @property
    def whole(self) -> bool:
        """Whether it is a whole turn."""
        return self.span >= 2 * np.pi

    def weights(self) -> Numbers:
        """The angle that each view stands for [views]."""
        return angular_weights(self.angles, 2 * np.pi)


def scan_of(angles: Numbers) -> Scan:
    """The largest gap between views, if no view is missing there, is the part not measured."""
    turned = np.sort(np.mod(angles, 2 * np.pi))
    gaps = np.diff(turned, append=turned[0] + 2 * np.pi)
    last = int(np.argmax(gaps))
    if gaps[last] <= MISSING * 2 * np.pi / angles.size:
        return Scan(angles, float(turned[0]), 2 * np.pi)
    start = turned[(last + 1) % turned.size]
    return Scan(angles, float(start), float(2 * np.pi - gaps[last]))


def redundancy(scan: Scan, angles: Numbers, g: Numbers, reach: float) -> Numbers:
    """Weights of the rays g [bins] in views at ``angles`` [views], [views or 1, bins].

    ``reach`` is the largest |g| of a ray that sees the object.
    """
    return _whole(g, reach) if scan.whole else _parker(scan, angles, g)


def _whole(g: Numbers, reach: float) -> Numbers:
    low, high = -float(g.min()), float(g.max())
    both, wide = min(low, high), max(low, high)
    if both >= reach or wide <= ONE_SIDED * both:
        return np.full((1, g.size), 0.5)
    if both <= 0:
        return np.ones((1, g.size))
    toward = g if high > low else -g
    return (0.5 + 0.5 * np.sin(np.pi / 2 * np.clip(toward / both, -1, 1)))[None]


def _parker(scan: Scan, angles: Numbers, g: Numbers) -> Numbers:
    b = np.mod(angles - scan.start, 2 * np.pi)
    b = np.where(b > np.pi + scan.span / 2, 0.0, np.minimum(b, scan.span))[:, None]
    D = (scan.span - np.pi) / 2
    rise, fall = D - g[None], D + g[None]
    rising, falling = (rise > 0) & (b < 2 * rise), (fall > 0) & (b > np.pi - 2 * g)
    weights = np.ones((angles.size, g.size))
    for where, way in (
        (rising, b / np.where(rising, rise, 1)),
        (falling, (scan.span - b) / np.where(falling, fall, 1)),
    ):
        weights[where] = np.sin(np.pi / 4 * way[where]) ** 2
    return weights
