"""Moments of a sinogram over its bins, and what angles they fit.

    m_k(theta) = sum over the bins b of (b - middle)^k y(theta, b),   b counted from 0

of an object that no view cuts off. The conditions of Helgason and Ludwig (Natterer, The
Mathematics of Computerized Tomography, 1986, II.4) say that

    m_0(theta)              is the same in all views,
    m_1(theta) / m_0        = c + p cos theta + q sin theta: the centre of mass goes round the
                              rotation axis, which bin middle + c sees,
    m_2(theta) / m_0        has besides these the terms cos 2 theta and sin 2 theta alone.

Each view is freed of a straight line between its ends first, which a beam that drifts would leave.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]

FEWEST = 8
"""Views, and bins, from which something is concluded."""

CUT = 0.05
"""Share of the largest values at the ends of a view beyond which the object is cut off."""

ODD = 0.5
"""Share by which m_0 of a view may differ from that of the others."""

CERTAIN = 10.0
"""Standard errors that a conclusion wants."""

HALF_TURN = 2.3
"""1 / sqrt(1 - 8 / pi^2): standard errors of a constant fitted beside cosine and sine to n values
over half a turn, in those of their mean."""

VARIES = 0.01, 0.02
"""Of the bins, and of the mean of m_2 / m_0: how much m_1 / m_0 and m_2 / m_0 have to vary, rms,
for angles to be told from them."""


@dataclass(frozen=True)
class Moments:
    """Of the views of an object that none of them cuts off."""

    mass: Numbers
    """m_0 [views]."""
    odd: NDArray[np.bool_]
    """Whether it is far from that of most views [views]."""
    lopsided: NDArray[np.bool_]
    """Whether one end of it is far above the other: there the object is cut off [views]."""
    first: Numbers
    """m_1 / m_0 of the views that are not odd."""
    second: Numbers
    """m_2 / m_0 of these."""
    orders: tuple[int, ...]
    """Which of both vary enough over the views to tell angles, 1 and 2."""
    level: float
    """What is seen at the ends of most views, at most, as a share of the largest values."""

    def lost(self, angles: Numbers) -> NDArray[np.bool_]:
        """The views that are odd, at once from one angle to the next [views].

        m_0 of an object that is cut off falls from view to view. ``angles`` of all views, radians.
        """
        order = np.argsort(np.mod(angles, 2 * np.pi))
        odd = self.odd[order]
        whole = np.abs(self.mass[order] / np.median(self.mass) - 1) < ODD / 2
        found = np.zeros_like(odd)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], odd, [False])).astype(np.int8)))
        for first, end in edges.reshape(-1, 2):
            beside = whole[max(0, first - 1) : first].any() or whole[end : end + 1].any()
            found[order[first:end]] = beside
        return found & ~self.lopsided

    def unexplained(self, angles: Numbers) -> tuple[float, ...]:
        """The share of the variance that angles leave, of each of ``orders``.

        ``angles`` of the views that are not odd, in radians.
        """
        values = {1: self.first, 2: self.second}
        return tuple(
            float(np.var(values[k] - fitted(angles, values[k], k).values) / np.var(values[k]))
            for k in self.orders
        )


@dataclass(frozen=True)
class Fit:
    """The trigonometric polynomial of some order that is nearest to values over angles."""

    values: Numbers
    constant: float
    error: float
    """Standard error of the constant, from how the values scatter."""
    gain: float
    """How much further than over half a turn errors of the values may move the constant, >= 1."""


def moments_of(y: Array) -> Moments | None:
    """Of line integrals [views, bins].

    None where the object is cut off, or too faint, or the views are too few.
    """
    views, bins = y.shape
    if views < FEWEST or bins < FEWEST:
        return None
    left, right = ends(y)
    both = np.concatenate((left, right))
    top = float(np.quantile(y, 0.95) - np.median(both))
    level = float(np.quantile(np.abs(both), 0.8))
    if level > CUT * top:
        return None
    noise = 1.4826 * float(np.median(np.abs(np.diff(y, axis=1)))) / np.sqrt(2)
    way = np.linspace(0, 1, bins)
    view = y - (left[:, None] * (1 - way) + right[:, None] * way)
    mass = view.sum(axis=1)
    total = float(np.median(mass))
    if total < CERTAIN * noise * np.sqrt(bins + bins**2 / (2 * end_bins(bins))):
        return None
    odd = np.abs(mass / total - 1) > ODD
    if odd.all():
        return None
    lopsided = np.abs(left - right) > np.maximum(np.abs(both).reshape(2, -1).max(0) / 2, CUT * top)
    place = np.arange(bins) - (bins - 1) / 2
    first, second = (view[~odd] @ place**k / mass[~odd] for k in (1, 2))
    least = VARIES[0] * bins, VARIES[1] * abs(float(second.mean()))
    orders = tuple(
        k
        for k, values in ((1, first), (2, second))
        if np.std(values) > least[k - 1]
        and np.std(values) > CERTAIN * noise * np.linalg.norm(place**k) / total
    )
    return Moments(mass, odd, lopsided, first, second, orders, level / top)


def ends(y: Array) -> tuple[Numbers, Numbers]:
    """The level at either end of each view, [views] twice."""
    wide = end_bins(y.shape[1])
    left, right = np.median(y[:, :wide], axis=1), np.median(y[:, -wide:], axis=1)
    return left.astype(np.float64), right.astype(np.float64)


def end_bins(bins: int) -> int:
    """How many bins are taken for an end of a view."""
    return max(3, bins // 50)


def fitted(angles: Numbers, values: Numbers, order: int) -> Fit:
    """The polynomial nearest to values [views] at angles [views], in radians."""
    terms = [np.ones_like(angles)]
    for k in range(1, order + 1):
        terms += [np.cos(k * angles), np.sin(k * angles)]
    basis = np.stack(terms, axis=1)
    inverse = np.linalg.pinv(basis)
    found = inverse @ values
    near = basis @ found
    scatter = float(np.linalg.norm(values - near)) / np.sqrt(max(1, angles.size - len(terms)))
    length = float(np.linalg.norm(inverse[0]))
    return Fit(
        near, float(found[0]), scatter * length, max(1.0, length * np.sqrt(angles.size) / HALF_TURN)
    )
