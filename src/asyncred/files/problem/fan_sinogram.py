"""Doubts about a sinogram of fan beams: what its values, angles and geometry say of each other.

The mean of all views over a whole turn is the same at the angles g and -g from the ray through the
rotation axis, whatever the object: opposite rays measure the same. So its centre of mass tells the
axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.files.problem.moments import CERTAIN, CUT, FEWEST, ODD, end_bins, ends, moments_of
from asyncred.files.problem.plausible import Shades, said
from asyncred.files.problem.sinogram import (
    LEAST,
    LEVER,
    SHARE,
    Sinogram,
    of_detector,
    of_integrals,
    of_lost,
    of_span,
)
from asyncred.operators.fan_beam import Fan
from asyncred.operators.fan_weights import scan_of

Numbers = NDArray[np.float64]

SLACK = 0.1
"""Share of the fan angle that a scan may lack: the object may be smaller than the image."""

NEAR = 9
"""Views whose sums one of them is compared with."""

LENGTHS = "source_axis, axis_detector, spacing and pixel are to be in one unit of length"


@dataclass(frozen=True)
class FanSinogram:
    """Some views of a scan, and what is said of source, detector and image."""

    scan: Sinogram
    angles: Numbers
    """Of all views, radians."""
    fan: Fan
    """In pixels of the image."""
    shape: tuple[int, int]
    """Of the image."""

    @property
    def g(self) -> Numbers:
        """Angles of the rays from the one through the axis, towards higher bins [bins]."""
        return -self.fan.from_axis(self.fan.tangents(self.scan.y.shape[1]))

    @property
    def radii(self) -> Numbers:
        """How far from the axis the rays pass, in pixels [bins]."""
        distances: Numbers = np.hypot(self.fan.source, self.fan.aside) * np.abs(np.sin(self.g))
        return distances

    @property
    def top(self) -> float:
        """The largest values, but for a few."""
        return float(np.quantile(self.scan.y, 0.95))


def of_fan(found: FanSinogram, shades: Shades | None) -> tuple[str, ...]:
    """Doubts about some views in fan beams."""
    y = found.scan.y
    geometry = said(of_span(found.angles), of_detector(found.scan.center, y.shape[1]))
    if not np.isfinite(y).all():
        return geometry
    values = of_integrals(found.scan, shades)
    if geometry or values:
        return (*geometry, *said(values))
    wrong = _of_image(found) or _of_width(found) or _of_lost(found) or _of_axis(found)
    return said(_of_coverage(found), wrong)


def _of_coverage(found: FanSinogram) -> str | None:
    """Half a turn and the fan angle is what every line through the object needs."""
    scan = scan_of(found.angles)
    fan = min(float(np.abs(found.g).max()), found.fan.reach(max(found.shape) / 2))
    step = scan.span / max(1, found.angles.size - 1)
    few = found.angles.size < FEWEST or scan.whole
    if few or scan.span + step >= np.pi + 2 * (1 - SLACK) * fan:
        return None
    return (
        f"the angles of {found.angles.size} views span {np.degrees(scan.span):.4g} degrees, "
        f"expected {np.degrees(np.pi + 2 * fan):.4g} (half a turn and the fan angle) or 360: "
        "some rays were not measured from any side, and the image shows it; the attribute units "
        "of the angles says whether they are 'deg' or 'rad'"
    )


def _of_image(found: FanSinogram) -> str | None:
    """Rays that miss the image should see nothing."""
    beside = found.radii > np.hypot(*found.shape) / 2 + 1
    if np.count_nonzero(beside) < 2 * end_bins(beside.size) or found.top <= 0:
        return None
    seen = np.median(found.scan.y[:, beside], axis=1)
    share = float(np.quantile(np.abs(seen), 0.8)) / found.top
    if share <= CUT:
        return None
    return (
        f"{found.scan.place}: rays that miss the image sum up to {100 * share:.2g} % of the "
        f"largest values, expected about 0: the object is wider than the image of "
        f"{found.shape[0]}x{found.shape[1]} pixels; {LENGTHS}, or shape of /image is too small"
    )


def _of_width(found: FanSinogram) -> str | None:
    """An object that is wider than the fan is seen at the ends of the views."""
    left, right = ends(found.scan.y)
    radius = float(found.radii[[0, -1]].min())
    share = max(np.quantile(np.abs(end), 0.8) for end in (left, right)) / max(found.top, 1e-30)
    if share <= CUT or radius >= max(found.shape) / 2:
        return None
    return (
        f"{found.scan.place}: the ends of the views hold {100 * share:.2g} % of the largest "
        f"values, expected about 0: the object is wider than the fan, which sees a circle of "
        f"{2 * radius:.4g} pixels about the rotation axis: what lies outside is not to be "
        f"trusted; {LENGTHS}"
    )


def _of_lost(found: FanSinogram) -> str | None:
    """What a view sums up to changes with the distance of the object, but not all at once."""
    moments = moments_of(found.scan.y)
    if moments is None or len(found.scan.y) < 2 * NEAR:
        return None
    order = np.argsort(np.mod(found.scan.angles, 2 * np.pi))
    around = scipy.ndimage.median_filter(moments.mass[order], NEAR, mode="wrap")
    shares = np.empty_like(around)
    shares[order] = moments.mass[order] / around
    odd = np.flatnonzero((np.abs(shares - 1) > ODD) & ~moments.lopsided)
    return of_lost(found.scan, odd, shares[odd])


def _of_axis(found: FanSinogram) -> str | None:
    """The axis, where the mean of all views over a whole turn lies about another bin."""
    y, bins = found.scan.y.astype(np.float64), found.scan.y.shape[1]
    seen, moments = scan_of(found.scan.angles), moments_of(found.scan.y)
    if moments is None or not seen.whole or len(y) < 2 * FEWEST or moments.odd.any():
        return None
    way = np.linspace(0, 1, bins)
    left, right = ends(found.scan.y)
    y -= left[:, None] * (1 - way) + right[:, None] * way
    g = found.g
    mean = seen.weights() @ y * np.gradient(g)
    middle = float(mean @ g / mean.sum())
    axis = np.arctan(found.fan.aside / found.fan.source)
    bin_seen = float(found.fan.bins(np.tan(np.array(axis + middle))))
    noise = 1.4826 * float(np.median(np.abs(np.diff(y, axis=1)))) / np.sqrt(2)
    place = np.arange(bins) - (bins - 1) / 2
    error = noise * float(np.linalg.norm(place)) / float(y.sum(axis=1).mean()) / np.sqrt(len(y))
    apart = abs(bin_seen - found.scan.center)
    if apart < max(LEAST, (SHARE + LEVER * moments.level) * bins, CERTAIN * error):
        return None
    return (
        f"the rotation axis is said to be at bin {found.scan.center:.1f}, but the views of a "
        f"whole turn lie about bin {bin_seen:.1f}: --center B, or attribute center of /operator, "
        "says which bin sees it"
    )
