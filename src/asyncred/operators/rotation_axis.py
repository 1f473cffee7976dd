"""The rotation axis of tomography in parallel beams, found from the measurements alone.

    P_v(w)    Fourier transform over the bins of view v, at angle theta_v
    U(n, w)   its Fourier series over the angles, at order n
    c         the bin, counted from 0, that the axis projects to

The view at theta + pi is the view at theta mirrored about c. So c is where

    f(c) = Re sum over w of K(w) exp(2 i w c)

is smallest, with K from one of two comparisons:

- opposing views, where the angles have them: K(w) = - w^2 sum of P_v(w) P_v'(w), theta_v' = theta_v
  + pi. That is the cross-correlation of the slopes of one view and of the other mirrored.
- half a turn, completed by its mirrored views: the 2-D Fourier transform of a whole turn vanishes
  where |n| > R |w|, R the radius of the object, and f(c) is the energy there, weighted with w, but
  for a constant: K(w) = w sum over those n > 0 of (-1)^n U(n, w) U(-n, w). The criterion of Vo,
  Drakopoulos, Atwood, Reinhard (Optics Express 22(16), 2014), with squares in place of
  magnitudes, which gives it the closed form.

w in K keeps out what a view that does not see all of the object has at low frequencies; high ones,
which hold the noise, are damped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import median_filter

from asyncred.operators.line_integrals import angular_weights

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]
Pairs = NDArray[np.int64]
Spectrum = NDArray[np.complex128]

FINENESS = 64
"""f is looked at this many times per half bin."""

DAMPING = 0.5
"""w, in radians per bin, at which K is damped by exp(-1)."""

ORDERS = 256
"""No order n is higher."""

MARGIN = 3
"""Orders beyond R |w| that are left to the object too."""

STRIPE = 9
"""Bins; what is narrower in the mean of all views comes from the detector."""

FEWEST = 8
"""Views that half a turn needs, and opposing pairs."""


def find_axis(y: Array, angles: Numbers) -> tuple[float, str]:
    """The bin that sees the axis, and in a few words from what it was found.

    ``y`` float32 [slices, views, bins], line integrals, finite; ``angles`` in radians [views]. The
    axis is looked for in the middle half of the bins. Raises ValueError where the angles do not
    tell.
    """
    pairs, half = opposing(angles), half_turn(angles)
    if len(pairs) >= FEWEST:
        K = sum(_of_pairs(*_transformed(slice_), pairs) for slice_ in y)
        how = f"{len(pairs)} pairs of opposing views"
    elif half.size >= FEWEST:
        bins = y.shape[2]
        K = sum(_of_half_turn(*_transformed(slice_[half]), angles[half], bins) for slice_ in y)
        how = f"{half.size} views over half a turn"
    else:
        raise ValueError(
            f"{angles.size} angles over {np.degrees(np.ptp(angles)):.4g} degrees, "
            f"expected {FEWEST} or more over 180, evenly"
        )
    return _lowest(np.asarray(K), y.shape[2]), how


def opposing(angles: Numbers) -> Pairs:
    """Pairs of views half a turn apart, to a tenth of a step, [pairs, 2]."""
    near = np.ptp(angles) / max(angles.size - 1, 1) / 10
    order = np.argsort(angles)
    later = np.searchsorted(angles[order], angles + np.pi - near)
    first = np.flatnonzero(later < angles.size)
    second = order[later[first]]
    fits = angles[second] - angles[first] <= np.pi + near
    return np.stack((first[fits], second[fits]), axis=1)


def half_turn(angles: Numbers) -> NDArray[np.int64]:
    """The views of the first half turn, in order; none where a part of it was not measured."""
    order = np.argsort(angles)
    kept: NDArray[np.int64] = order[angles[order] - angles[order[0]] < np.pi * (1 - 1e-6)]
    gaps = np.diff(angles[kept], append=angles[kept[0]] + np.pi)
    return kept if gaps.max() <= 2.5 * np.pi / kept.size else kept[:0]


def _transformed(y: Array) -> tuple[Spectrum, Numbers]:
    """P_v(w) without stripes [views, frequencies], and w.

    What lies outside of the bins is a slope from a view's last bin to its first: no edge of the
    detector is taken for one of the object.
    """
    mean = y.mean(axis=0, dtype=np.float64)
    smooth = y - (mean - median_filter(mean, STRIPE, mode="nearest"))
    bins = y.shape[1]
    n = 2 * fft.next_fast_len(bins, real=True)
    way = (np.arange(n - bins) + 0.5) / (n - bins)
    beyond = smooth[:, -1:] * (1 - way) + smooth[:, :1] * way
    w = 2 * np.pi * np.arange(n // 2 + 1) / n
    return fft.rfft(np.concatenate((smooth, beyond), axis=1), axis=1), w


def _of_pairs(P: Spectrum, w: Numbers, pairs: Pairs) -> Spectrum:
    """K of opposing views."""
    product: Spectrum = (P[pairs[:, 0]] * P[pairs[:, 1]]).sum(axis=0)
    return -(w**2) * np.exp(-((w / DAMPING) ** 2)) * product


def _of_half_turn(P: Spectrum, w: Numbers, angles: Numbers, bins: int) -> Spectrum:
    """K of half a turn, whose object is no wider than the bins."""
    n = np.arange(1, min(angles.size, ORDERS))[:, None]
    some = w * bins / 2 + MARGIN < n[-1]  # w at which an order lies outside
    sign = np.where(n % 2 == 0, 1, -1) * (n > w[some] * bins / 2 + MARGIN)
    series = np.exp(-1j * n * angles) * angular_weights(angles)
    K: Spectrum = np.zeros(w.size, np.complex128)
    K[some] = (sign * (series @ P[:, some]) * (series.conj() @ P[:, some])).sum(axis=0)
    return w * np.exp(-((w / DAMPING) ** 2)) * K


def _lowest(K: Spectrum, bins: int) -> float:
    """The c at which f is smallest."""
    n = FINENESS * 2 * (K.size - 1)
    f = fft.irfft(K, n)
    c = np.arange(n) / (2 * FINENESS)
    middle = (c >= bins / 4) & (c <= 3 * bins / 4)
    return float(c[middle][np.argmin(f[middle])])
