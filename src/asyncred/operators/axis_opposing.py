"""The rotation axis from opposing views: the view at theta + pi is that at theta mirrored about c.

    d_v(b)    slope of view v over the bins b, smoothed
    m_v(b)    -d of the opposing view at 2 c - b: its slope, mirrored about c

Two steps, of all pairs of views together and only over the bins b that both see, so that an axis
near an edge of the detector (half acquisition over a whole turn) is found as well:

- coarse, at every half bin of the whole detector: the correlation rho(c) of d_v and m_v, by FFT.
  The c with the largest -n log(1 - rho^2) is taken, n the bins in common. So a match of few bins
  does not win over one of many. The search for the overlap of half acquisition of Vo et al.
  (Optics Express 29(12), 2021), with the likelihood of two Gaussian signals as its measure.
- fine: sum over v and b of W d_v' (d_v - m_v) = 0, the c at which sum of W (d_v - m_v)^2 is least,
  by Gauss and Newton's iteration. The slope is that of d_v, as interpolation of m_v between bins
  makes its noise smaller, which would draw c to where it does so most.

Where no view was taken at theta + pi it is interpolated between its two neighbours in angle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.operators.axis_estimate import Estimate, rival

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]

WIDEST = np.radians(8.0)
"""Between neighbours in angle farther apart than this no view is interpolated."""

SAME = 0.1
"""A view within this share of a step of theta + pi is the opposing one."""

COARSE, FINE = 2.0, 1.0
"""Standard deviations in bins of the Gaussians that slopes are smoothed with."""

OVERLAP = 12
"""Bins that opposing views have in common at least."""

LEAST = 0.3
"""The smallest rho that is taken for a match."""

NEAREST = 4
"""Bins over which smoothed slopes go together."""

CERTAIN, APART = 5.0, 6
"""What changes from view to view has to match by so many standard deviations of noise, of which
bins so far apart know nothing of each other: a pattern of the detector is no object."""

ENOUGH = 512
"""Pairs that are looked at, at most."""

STEPS = 12
"""Of the iteration, at most."""


@dataclass(frozen=True)
class Pairs:
    """Views, and what the view opposing each is interpolated from; [pairs] each."""

    views: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    share: Numbers
    """Of ``after``, from 0 to 1."""

    def __len__(self) -> int:
        return self.views.size

    def some(self, most: int) -> Pairs:
        """At most so many of them, evenly chosen."""
        one = np.s_[:: -(-len(self) // most)]
        return Pairs(self.views[one], self.before[one], self.after[one], self.share[one])

    def opposing(self, y: NDArray[Any]) -> NDArray[Any]:
        """The opposing view of each, [pairs, bins]."""
        share = self.share[:, None].astype(y.dtype)
        return np.asarray((1 - share) * y[self.before] + share * y[self.after])


def opposing(angles: Numbers, *, widest: float = WIDEST) -> Pairs:
    """Of all views whose opposing one was taken, or lies between two no farther apart."""
    turned = np.mod(angles, 2 * np.pi)
    order = np.argsort(turned)
    ring = np.concatenate((turned[order], turned[order[:1]] + 2 * np.pi))
    sought = np.mod(turned + np.pi - ring[0], 2 * np.pi) + ring[0]
    place = np.clip(np.searchsorted(ring, sought, side="right") - 1, 0, angles.size - 1)
    gap = ring[place + 1] - ring[place]
    share = np.clip((sought - ring[place]) / np.where(gap > 0, gap, 1), 0, 1)
    near = SAME * 2 * np.pi / angles.size
    share = np.where(share * gap <= near, 0, np.where((1 - share) * gap <= near, 1, share))
    kept = np.flatnonzero((gap <= widest) | (share == 0) | (share == 1))
    before, after = order[place], order[(place + 1) % angles.size]
    return Pairs(kept, before[kept], after[kept], share[kept])


def of_opposing(y: Numbers, pairs: Pairs) -> Estimate | None:
    """The axis of views [views, bins], free of stripes; None where nothing matches."""
    smooth = scipy.ndimage.gaussian_filter1d(y, COARSE, axis=1, order=1, mode="nearest")
    few = pairs.some(ENOUGH)
    d, e = smooth[few.views], few.opposing(smooth)
    rho, score = _matches(d, e)
    best = int(np.argmax(score))
    if rho[best] < LEAST or best in (0, score.size - 1):
        return None
    t = best + OVERLAP - 1
    if not _change_matches(d, e, t):
        return None
    slopes = scipy.ndimage.gaussian_filter1d(y, FINE, axis=1, order=1, mode="nearest")
    center, error = _refined(slopes[few.views], few.opposing(slopes), t / 2)
    return Estimate(
        center,
        error,
        float(rho[best]),
        rival(score, best, round(4 * COARSE)),
        f"{len(pairs)} pairs of opposing views",
    )


def _matches(d: Numbers, e: Numbers) -> tuple[Numbers, Numbers]:
    """rho and its likelihood at 2 c = OVERLAP - 1, ..., 2 (bins - 1) - OVERLAP + 1."""
    bins = d.shape[1]
    n = scipy.fft.next_fast_len(2 * bins, real=True)
    product = (scipy.fft.rfft(d, n, axis=1) * scipy.fft.rfft(e, n, axis=1)).sum(axis=0)
    cross = -scipy.fft.irfft(product, n)[: 2 * bins - 1]
    energy = np.concatenate(([0.0], np.cumsum((d**2).sum(axis=0) + (e**2).sum(axis=0))))
    t = np.arange(2 * bins - 1)
    first, end = np.maximum(0, t - bins + 1), np.minimum(bins - 1, t) + 1
    both = energy[end] - energy[first]
    floor = 1e-9 * energy[-1] + np.finfo(np.float64).tiny
    rho = np.clip(2 * cross / np.maximum(both, floor), 0, 1 - 1e-9)
    score = -(end - first) * np.log1p(-(rho**2))
    some = slice(OVERLAP - 1, 2 * bins - OVERLAP)
    return rho[some], score[some]


def _change_matches(d: Numbers, e: Numbers, t: int) -> bool:
    """Whether what differs from view to view matches at 2 c = t, beyond what noise would."""
    bins = d.shape[1]
    first, end = max(0, t - bins + 1), min(bins - 1, t) + 1
    one = d[:, first:end] - d[:, first:end].mean(axis=0)
    other = -e[:, first:end][:, ::-1]
    other = other - other.mean(axis=0)
    both = float((one**2).sum() + (other**2).sum()) / 2
    known = len(d) / 2 * (end - first) / APART
    return float((one * other).sum()) > float(CERTAIN * both / np.sqrt(known))


def _refined(d: Numbers, e: Numbers, c: float) -> tuple[float, float]:
    """The c near this one at which the squares are least, and its standard error."""
    bins = d.shape[1]
    b = np.arange(bins)
    own = np.gradient(d, axis=1)
    spline = scipy.ndimage.spline_filter1d(-e[:, ::-1], axis=1, mode="mirror")
    start, error = c, np.inf
    for _ in range(STEPS):
        m, slope = _moved(spline, bins - 1 - 2 * c)
        reach = np.minimum(b, bins - 1 - b)
        reach = np.minimum(reach, np.minimum(2 * c - b, bins - 1 - 2 * c + b))
        W = np.clip((reach - 1) / 8, 0, 1)
        pulls = -2 * W * own * (d - m)
        H = float((4 * W * own * slope).sum())
        if H <= 0:
            return start, np.inf
        step, error = float(pulls.sum()) / H, _scatter(pulls) / H
        c += float(np.clip(step, -1, 1))
        if abs(c - start) > 4:
            return start, np.inf
        if abs(step) < 1e-3:
            break
    return c, error


def _moved(spline: Numbers, by: float) -> tuple[Numbers, Numbers]:
    """A cubic spline [pairs, bins] at b + by, and its slope; at the edges that of the last bin."""
    bins, first = spline.shape[1], int(np.floor(by))
    f = by - first
    g = 1 - f
    shares = g**3, 4 - 6 * f**2 + 3 * f**3, 4 - 6 * g**2 + 3 * g**3, f**3
    slopes = -(g**2), 3 * f**2 - 4 * f, 4 * g - 3 * g**2, f**2
    places = (np.clip(np.arange(bins) + first + k, 0, bins - 1) for k in (-1, 0, 1, 2))
    value, slope = np.zeros_like(spline), np.zeros_like(spline)
    for place, share, steep in zip(places, shares, slopes, strict=True):
        taken = spline[:, place]
        value += share / 6 * taken
        slope += steep / 2 * taken
    return value, slope


def _scatter(pulls: Numbers) -> float:
    """Standard deviation of the sum of all [pairs, bins].

    As if pairs were independent, though each is met twice, or bins but for the nearest: noise is
    the one, what a flat field leaves is the other.
    """
    of_pairs, of_bins = pulls.sum(axis=1), pulls.sum(axis=0)
    near = np.convolve(of_bins, np.ones(NEAREST), mode="valid")
    return float(np.sqrt(max(2 * (of_pairs**2).sum(), (near**2).sum() / NEAREST)))
