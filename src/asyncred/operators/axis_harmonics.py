"""The rotation axis from how views change with the angle, whatever the angles are.

    P_v(w)    Fourier transform over the bins of view v, at angle theta_v
    c         the bin, counted from 0, that the axis projects to
    R         radius of the object about its centre of mass

About the axis, exp(i w c) P_v(w) is a trigonometric polynomial of theta_v: of order R |w| but for
what is negligible, and such that theta + pi gives the complex conjugate. So its real part holds
the even orders alone and its imaginary part the odd ones. c is where the least squares fit of such
polynomials to the views leaves the least,

    f(c) = sum over w of g(w) (|Q_e Re exp(i w c) P(w)|^2 + |Q_o Im exp(i w c) P(w)|^2)
         = constant + Re sum over w of K(w) exp(2 i w c)

Q_e and Q_o take off what the polynomials explain. These are the conditions of Helgason and Ludwig
(Natterer, The Mathematics of Computerized Tomography, 1986, II.4): those of lowest order say that
the centre of mass moves on a sinusoid about c (Donath et al., J. Opt. Soc. Am. A 23(5), 2006); over
an even half turn they say what the criterion of Vo et al. (Optics Express 22(16), 2014) does, that
the 2-D Fourier transform of a whole turn vanishes outside of a double wedge. A fit needs no even
angles: lost views, several step widths, less than half a turn and golden angles are all the same.

The sinusoid of the centre of mass is taken off first, which moves the object to the axis and makes
R, and so the orders, as small as can be. g keeps out what a view that does not see all of the
object has at low frequencies; high ones, which hold the noise, are damped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.operators.axis_estimate import Estimate, rival

Numbers = NDArray[np.float64]
Spectrum = NDArray[np.complex128]

FINENESS = 64
"""f is looked at this many times per half bin."""

DAMPING = 0.5
"""w, in radians per bin, at which g is damped by exp(-1)."""

ORDERS = 256
"""No order is higher."""

MARGIN = 4
"""Orders beyond R |w| that are left to the object too."""

GAP = np.radians(40)
"""The largest part of half a turn that may be missing."""

NEW = 1e-3
"""Share of a polynomial that those of lower order may not explain, to be one more."""

STRAY = 0.02
"""Of the bins: how far centres of mass may stray from their sinusoid for it to be taken off."""

ROUNDS = 3
"""Fits of the sinusoid, each without the views that strayed far from that before."""

ENOUGH = 256
"""Views that R is measured in."""

FAINT = 0.03
"""Share of the largest value of all views, laid over each other, at which the object ends."""


@dataclass(frozen=True)
class Motion:
    """The sinusoid of the object's centre of mass."""

    sideways: Numbers
    """Bins from the axis, [views]."""
    axis: float
    """The bin that it goes about."""
    error: float
    """Standard error of it."""
    radius: float
    """R."""
    stray: float
    """Bins, rms, by which centres of mass leave it."""


def motion(y: Numbers, angles: Numbers) -> Motion:
    """That of views [views, bins], each freed of a straight line between its ends."""
    views, bins = y.shape
    wide = max(3, bins // 50)
    left, right = np.median(y[:, :wide], axis=1), np.median(y[:, -wide:], axis=1)
    way = np.linspace(0, 1, bins)
    free = y - (left[:, None] * (1 - way) + right[:, None] * way)
    mass, middle = free.sum(axis=1), (bins - 1) / 2
    still = Motion(np.zeros(views), middle, np.inf, bins / 2, np.inf)
    total = float(np.median(mass))
    if total <= 0 or (mass < total / 2).mean() > 0.1:
        return still
    good = (mass > total / 2) & (mass < 2 * total)
    place = (free @ (np.arange(bins) - middle)) / np.where(good, mass, 1)
    basis = np.stack((np.ones(views), np.cos(angles), np.sin(angles)), axis=1)
    for _ in range(ROUNDS):
        some = basis[good]
        inverse = np.linalg.pinv(some.T @ some) @ some.T
        fit = inverse @ place[good]
        off = np.abs(place - basis @ fit)
        good &= off <= max(4 * 1.4826 * float(np.median(off[good])), 1e-3)
    stray = float(np.sqrt(np.mean(off[good] ** 2)))
    if stray > max(2.0, STRAY * bins):
        return still
    error = stray * float(np.linalg.norm(inverse[0]))
    sideways = basis[:, 1:] @ fit[1:]
    radius = _radius(free, sideways, middle + float(fit[0]))
    return Motion(sideways, middle + float(fit[0]), error, radius, stray)


def _radius(y: Numbers, sideways: Numbers, axis: float) -> float:
    """How far from the centre of mass the object is seen."""
    step, bins = -(-len(y) // ENOUGH), y.shape[1]
    y, sideways = y[::step], sideways[::step]
    reach = np.arange(2 * bins) - bins
    at = np.rint(reach + (sideways + axis)[:, None]).astype(np.int64)
    inside = (at >= 0) & (at < bins)
    values = np.take_along_axis(y, np.clip(at, 0, bins - 1), axis=1)
    seen = inside.sum(axis=0)
    profile = np.where(inside, values, 0).sum(axis=0) / np.maximum(seen, 1)
    profile[seen <= 0.2 * len(y)] = 0
    above = np.flatnonzero(profile > FAINT * profile.max())
    return float(min(max(abs(reach[above[0]]), abs(reach[above[-1]])) + 1, bins))


def of_harmonics(y: Numbers, moved: Motion, polynomials: Parities) -> Estimate | None:
    """The axis of views [views, bins], free of stripes; None where the angles leave nothing."""
    P, w = _transformed(y)
    order = np.ceil(1.05 * moved.radius * w).astype(np.int64) + MARGIN
    last = min(one.last for one in polynomials)
    some = np.flatnonzero((order <= last) & (w > 0) & (w < 3 * DAMPING))
    if some.size < 2:
        return None
    w, order = w[some], order[some]
    P = P[:, some] * np.exp(1j * w * moved.sideways[:, None])
    a, b, h = _left(P, order, *polynomials)
    g = w * np.exp(-((w / DAMPING) ** 2))
    K = np.asarray(g * ((a - b) / 2 - 1j * h), np.complex128)
    level = float((g * (a + b) / 2).sum())
    return _lowest(K, w, level, y.shape[1], f"{len(y)} views")


@dataclass(frozen=True)
class Polynomials:
    """Orthonormal trigonometric polynomials of the angles, those of one parity."""

    basis: Numbers
    """[views, polynomials], in ascending order."""
    orders: NDArray[np.int64]
    """Of each."""
    last: int
    """Beyond this order the views do not tell them apart."""

    def explained(self, values: Numbers, order: NDArray[np.int64]) -> Numbers:
        """Coefficients [polynomials, w] of those up to an order of each w; others are 0."""
        found = self.basis.T @ values
        found[self.orders[:, None] > order] = 0
        return np.asarray(found)


Parities = tuple[Polynomials, Polynomials]


def polynomials_of(angles: Numbers) -> Parities | None:
    """Of even orders, and of odd ones; None where too much of half a turn was not measured."""
    turned = np.sort(np.mod(angles, np.pi))
    if np.diff(turned, append=turned[0] + np.pi).max() > GAP:
        return None
    return _of_parity(angles, 0), _of_parity(angles, 1)


def _of_parity(angles: Numbers, first: int) -> Polynomials:
    highest = min(ORDERS, angles.size)
    n = np.repeat(np.arange(first, highest + 1, 2), 2)[1 - first :]
    terms = np.where(np.arange(n.size) % 2 == (0 if first else 1), 0.0, np.pi / 2)
    basis = np.cos(n * angles[:, None] - terms)
    basis[:, n == 0] = 1
    Q, triangle = np.linalg.qr(basis[:, : angles.size])
    share = np.abs(np.diag(triangle)) / np.sqrt(angles.size)
    n = n[: share.size]
    missing = np.flatnonzero(share < NEW)
    last = int(n[-1]) if n.size < angles.size else int(n[-1]) - 2
    last = int(n[missing[0]]) - 2 if missing.size else last
    kept = n <= last
    return Polynomials(Q[:, kept], n[kept], last)


def _left(
    P: Spectrum, order: NDArray[np.int64], even: Polynomials, odd: Polynomials
) -> tuple[Numbers, Numbers, Numbers]:
    """a, b, h with f = cos^2 a + sin^2 b + 2 sin cos h at angle w c, of each w."""
    A, B = P.real, P.imag
    eA, eB = even.explained(A, order), even.explained(B, order)
    oA, oB = odd.explained(A, order), odd.explained(B, order)
    AA, BB = (A**2).sum(axis=0), (B**2).sum(axis=0)
    a = AA - (eA**2).sum(axis=0) + BB - (oB**2).sum(axis=0)
    b = BB - (eB**2).sum(axis=0) + AA - (oA**2).sum(axis=0)
    h = (eA * eB).sum(axis=0) - (oA * oB).sum(axis=0)
    return a, b, h


def _transformed(y: Numbers) -> tuple[Spectrum, Numbers]:
    """P_v(w) [views, frequencies], and w.

    What lies outside of the bins is a slope from a view's last bin to its first: no edge of the
    detector is taken for one of the object.
    """
    bins = y.shape[1]
    n = 2 * scipy.fft.next_fast_len(bins, real=True)
    way = (np.arange(n - bins) + 0.5) / (n - bins)
    beyond = y[:, -1:] * (1 - way) + y[:, :1] * way
    w = 2 * np.pi * np.arange(n // 2 + 1) / n
    return scipy.fft.rfft(np.concatenate((y, beyond), axis=1), axis=1), w


def _lowest(K: Spectrum, w: Numbers, level: float, bins: int, how: str) -> Estimate | None:
    """The c on the detector at which f is smallest."""
    step = 1 / (2 * FINENESS)
    n = round(2 * np.pi / (w[1] - w[0]) * FINENESS * 2) // 2
    spectrum = np.zeros(n // 2 + 1, np.complex128)
    spectrum[np.rint(w / (w[1] - w[0])).astype(np.int64)] = K
    f = level + scipy.fft.irfft(spectrum, n) * n / 2
    f = f[: int((bins - 1) / step) + 1]
    best = int(np.argmin(f))
    if best in (0, f.size - 1):
        return None
    c = best * step
    first = (2j * w * K * np.exp(2j * w * c)).real
    curvature = float((-4 * w**2 * K * np.exp(2j * w * c)).real.sum())
    error = float(np.sqrt(2 * (first**2).sum())) / curvature if curvature > 0 else np.inf
    match = 1 - float(f[best]) / level if level > 0 else 0.0
    return Estimate(c, error, match, rival(level - f, best, 2 * FINENESS), how)
