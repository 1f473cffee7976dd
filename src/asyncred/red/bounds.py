"""x kept within bounds: an update goes toward the point of the box that its direction aims at.

    C          the box of all images with values from low to high, either of which may be infinite;
               of complex ones |x| <= high
    P          the projection onto C
    v_i        the direction of block i, with x_i <- x_i - gamma v_i
    c          a step that gamma does not exceed

    v_i <- (x_i - P(x_i - c v_i)) / c

C is convex: from x_i in C every step gamma <= c then ends in C. x stays where x_i = P(x_i - c v_i),
which for v = G are the stationary points of the objective on C (Bertsekas, Nonlinear Programming,
section 3.3); for the proximal v_i see ``asyncred.red.proximal``. Where no value meets a bound the
direction is the same to the last bit.

The theorems on descent in a non-convex objective ask for bounded iterates (Hurault, Leclaire,
Papadakis 2022; Cannelli, Facchinei, Kungurtsev, Scutari 2020), and a potential can be nearly flat
toward images that are none.
"""

from __future__ import annotations

import numpy as np

from asyncred.operators import Image, Rows
from asyncred.red.operator import RedOperator

_NEAR = 1e-6
"""Relative distance at which a value counts as on a bound."""


class BoundedRed(RedOperator):
    """Another operator's direction, bent so that x stays between ``low`` and ``high``."""

    def __init__(self, G: RedOperator, *, low: float, high: float, longest: float) -> None:
        """``longest`` is c."""
        super().__init__(G.grid, G.A, G.D, tau=G.tau)
        self._G, self._low, self._high = G, low, high
        self._longest = np.float32(longest)

    def block(self, i: int, x_tilde: Image, rows: Rows | None = None) -> Image:
        """v_i, bent."""
        x_i: Image = x_tilde[self.windows[i].inner]
        return self._bent(x_i, self._G.block(i, x_tilde, rows))

    def full(self, x: Image) -> Image:
        """The same of the whole image."""
        return self._bent(x, self._G.full(x))

    def _bent(self, x: Image, v: Image) -> Image:
        target = x - self._longest * v
        nearest = clipped(target, self._low, self._high)
        outside = nearest != target
        if not outside.any():
            return v
        out: Image = np.where(outside, (x - nearest) / self._longest, v)
        return out


def is_free(x: Image, G: Image, low: float, high: float) -> Image:
    """Which values may move: all but those on a bound that a step along -G would pass; real."""
    near = _near(x, low, high)
    stuck = ((x <= low + near) & (G > 0)) | ((x >= high - near) & (G < 0))
    out: Image = ~stuck
    return out


def _near(x: Image, low: float, high: float) -> float:
    """The distance at which a value counts as on a bound: a share of these, or of x."""
    scales = [abs(low), abs(high)]
    if max(scales) == np.inf:
        scales = [min(scales), float(np.abs(x).max(initial=0))]
    return _NEAR * max(scales)


def clipped(x: Image, low: float, high: float) -> Image:
    """P(x)."""
    if not np.iscomplexobj(x):
        return np.clip(x, np.float32(low), np.float32(high))
    if high == np.inf:
        return x
    magnitude = np.abs(x)
    out: Image = np.where(magnitude > high, x * (high / np.maximum(magnitude, high)), x)
    return out.astype(x.dtype)


def count_at(x: Image, low: float, high: float) -> int:
    """How many pixels lie on the bounds."""
    size = np.abs(x) if np.iscomplexobj(x) else x
    near = _near(size, low, high)
    at = size >= high - near
    if not np.iscomplexobj(x):
        at |= size <= low + near
    return int(at.sum())
