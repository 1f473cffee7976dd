"""Doubts about a sinogram: whether its values are line integrals, and fit angles and axis.

Where the ends of the views show that the object is wider than the detector, only the values are
looked at: ``moments`` has what is expected of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncred.files.problem.moments import CERTAIN, FEWEST, Moments, ends, fitted, moments_of
from asyncred.files.problem.plausible import VALUES, Shades, of_values, said

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]

VIEWS = 64
"""So many are looked at, if there are, and as many as make up ``VALUES``."""

NARROW = 1.02 * 2 * np.pi
"""Degrees: a scan over no more than this was probably told in radians."""

WIDE = np.pi / 2
"""Radians over which angles of another unit have to span for views to be held against them."""

LARGEST = 50.0
"""No line integral is larger: exp(50) photons would be needed to see anything."""

NEGATIVE = 0.1
"""How far the lowest line integrals of an image that is negative lie below those beside it."""

SHARE, LEAST = 0.015, 3.5
"""Of the bins, and in bins: how far the axis may lie from where the views put it, and how far
their centres of mass may stray from where the angles have them."""

LEVER = 0.25
"""Of the bins times what is seen at the ends of the views: how much further the axis may lie."""

UNEXPLAINED, EXPLAINED = 0.5, 0.1
"""Shares of the variance of the moments that angles leave: of wrong ones more than the first, of
right ones less than the second."""

NAMED = 6
"""Views that are told one by one."""


@dataclass(frozen=True)
class Sinogram:
    """Some views of a scan, and what is said of them."""

    y: Array
    """Line integrals [views, bins]."""
    angles: Numbers
    """Radians [views]."""
    step: int
    """One in so many of the scan's."""
    center: float
    """The bin, from 0, that sees the rotation axis."""
    longest: float
    """The longest ray in the image, in the unit of length of the attenuation."""
    place: str = "/measurements/y"
    """Where they are in the file."""


def step_of(views: int, bins: int) -> int:
    """One in how many views is looked at, of a scan of so many."""
    return max(1, views // max(VIEWS, VALUES // max(1, bins)))


def of_scan(scan: Sinogram, angles: Numbers, shades: Shades | None) -> tuple[str, ...]:
    """Doubts about some views, and about the angles of all, in radians [views]."""
    geometry = said(of_span(angles), of_detector(scan.center, scan.y.shape[1]))
    return (*geometry, *of_sinogram(scan, shades, geometry=not geometry))


def of_sinogram(scan: Sinogram, shades: Shades | None, *, geometry: bool) -> tuple[str, ...]:
    """Doubts about line integrals; () where they are not finite, which a run refuses.

    ``geometry``: whether angles and axis are held against them, too.
    """
    if not np.isfinite(scan.y).all():
        return ()
    wrong = of_integrals(scan, shades)
    if wrong:
        return (wrong,)
    moments = moments_of(scan.y)
    if moments is None:
        return ()
    turned = (_of_angles(scan, moments) or _of_axis(scan, moments)) if geometry else None
    return said(_of_mass(scan, moments), turned)


def of_integrals(scan: Sinogram, shades: Shades | None) -> str | None:
    """A doubt that finite values are line integrals at all."""
    return of_values(scan.y, scan.place) or _of_kind(scan) or _of_sign(scan, shades)


def of_span(angles: Numbers) -> str | None:
    """Angles in radians that are called degrees span no more than six of these."""
    span = float(np.degrees(np.ptp(angles))) if angles.size else 0.0
    if angles.size < FEWEST // 2 or span > NARROW:
        return None
    return (
        f"the angles of {angles.size} views span {span:.3g} degrees, expected about 180 or 360: "
        "if they are radians, the attribute units = 'rad' of the angles says so"
    )


def of_detector(center: float, bins: int) -> str | None:
    """A rotation axis that no bin sees."""
    if -0.5 <= center <= bins - 0.5:
        return None
    return (
        f"the rotation axis is at bin {center:g}, off the detector of {bins} bins, expected 0 to "
        f"{bins - 1}: --center B, or attribute center of /operator, says which bin sees it"
    )


def _of_kind(scan: Sinogram) -> str | None:
    """Counts and transmissions are largest where nothing is in the way, line integrals 0."""
    y, bins = scan.y, scan.y.shape[1]
    low, top = (float(q) for q in np.quantile(y, (0.001, 0.999)))
    beside = float(np.minimum(*ends(y)).mean())
    middle = float(np.median(y[:, bins // 4 : bins - bins // 4]))
    out = "expected -log(counts / beam), 0 beside the object"
    if 0.7 <= beside <= 1.3 and low > -0.2 and top <= 1.5 and middle < beside - 0.05:
        return (
            f"{scan.place}: values are about {beside:.2f} at the ends of the views and "
            f"{middle:.2f} in the middle, as transmissions are, {out}: take -log of y"
        )
    whole = bool((y == np.rint(y)).all())
    brightest = top > LARGEST and beside > 1.05 * middle
    if brightest or (whole and top > LARGEST) or top > LARGEST * max(1.0, scan.longest):
        kind = " are whole numbers" if whole else ""
        return (
            f"{scan.place}: values{kind} up to {top:.4g}, {beside:.4g} at the ends of the views, "
            f"as counts are, {out}: take -log of y over the beam's counts, or store both "
            "as Data Exchange"
        )
    return None


def _of_sign(scan: Sinogram, shades: Shades | None) -> str | None:
    """-y, but not a little drift beside an object that is hardly seen."""
    total, size = (float(part.sum(dtype=np.float64)) for part in (scan.y, np.abs(scan.y)))
    depth = float(np.median(np.maximum(*ends(scan.y))) - np.quantile(scan.y, 0.02))
    meant = shades is not None and sum(shades) < 0
    if total > -0.5 * size or depth < NEGATIVE or meant:
        return None
    return (
        f"{scan.place}: {100 * (size - total) / (2 * size):.0f} % of what the rays sum up is "
        "negative, expected attenuations of 0 and more: y = -log(counts / beam) has the sign +; "
        "--range LOW:HIGH says that the image is negative"
    )


def _of_mass(scan: Sinogram, moments: Moments) -> str | None:
    """m_0 of every view is that of the object, but where the object is cut off for a while."""
    odd = np.flatnonzero(moments.lost(scan.angles))
    return of_lost(scan, odd, moments.mass[odd] / np.median(moments.mass))


def of_lost(scan: Sinogram, odd: NDArray[np.int64], shares: Numbers) -> str | None:
    """Views that sum up to such shares of what the others do, if there are any."""
    if odd.size == 0:
        return None
    named = ", ".join(str(scan.step * k) for k in odd[:NAMED])
    share = np.round(shares, 2) + 0.0  # no -0
    low, high = share.min(), share.max()
    sums = f"{low:.2g} to {high:.2g}" if low < high else f"{low:.2g}"
    return (
        f"{scan.place}: {odd.size} of {len(scan.y)} views looked at ({named}"
        f"{', ...' if odd.size > NAMED else ''}) sum up to {sums} times the "
        "others' total, expected about the same in every view: blocked or lost frames "
        "are to be left out of y and angles, of a scan of counts by --views"
    )


def _of_angles(scan: Sinogram, moments: Moments) -> str | None:
    """Angles of the wrong unit, or none that fit, by what they leave unexplained of the moments."""
    angles, bins = scan.angles[~moments.odd], scan.y.shape[1]
    shares = moments.unexplained(angles)
    if angles.size < 2 * FEWEST or not shares or min(shares) < UNEXPLAINED:
        return None
    for factor, unit in ((np.pi / 180, "deg"), (180 / np.pi, "rad")):
        other = factor * angles
        if np.ptp(other) > WIDE and max(moments.unexplained(other)) < EXPLAINED:
            return (
                f"{scan.place}: the views do not fit the angles, but would if these were in "
                f"{unit}: the attribute units = {unit!r} of the angles says so"
            )
    stray = float(np.std(moments.first - fitted(angles, moments.first, 1).values))
    if stray < max(LEAST, SHARE * bins):
        return None
    return (
        f"{scan.place}: the centres of mass of the views stray {stray:.1f} bins from the "
        "sinusoid that the angles ask for, expected less than 1: are the angles those of these "
        "views, in their order?"
    )


def _of_axis(scan: Sinogram, moments: Moments) -> str | None:
    """The axis, where the centres of mass go round another bin."""
    angles, bins = scan.angles[~moments.odd], scan.y.shape[1]
    if angles.size < FEWEST:
        return None
    fit = fitted(angles, moments.first, 1)
    found = (bins - 1) / 2 + fit.constant
    apart, stray = abs(found - scan.center), float(np.std(moments.first - fit.values))
    share = SHARE + LEVER * moments.level
    bound = max(fit.gain * max(LEAST, share * bins), CERTAIN * fit.error)
    if apart < bound or stray > apart / 3:
        return None
    return (
        f"the rotation axis is said to be at bin {scan.center:.1f}, but the centres of mass of "
        f"the views go round bin {found:.1f}: --center B, or attribute center of /operator, "
        "says which bin sees it"
    )
