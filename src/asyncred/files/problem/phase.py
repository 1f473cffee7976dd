"""Phase retrieval from frames at one distance behind an object of one material.

    T'      = F^-1 [ F[T] / (1 + l^2 |k|^2) ]     T the frame over the beam, k in radians a pixel
    l^2     = z lambda (delta/beta) / (4 pi)      over the square of a pixel's side
    mu t    = -log T'                             line integrals of the attenuation mu

(Paganin, Mayo, Gureyev, Miller and Wilkins, Simultaneous phase and amplitude extraction from a
single defocused image of a homogeneous object, J. Microscopy 206(1), 2002.) The edges that
propagation over z makes bright and dark become steps of the attenuation, and noise is damped.

The filter's response to a point falls by e over l pixels. A row of T' is made of the rows within
``LENGTHS`` times l of it:

    F_x[T'](j) = sum over d of K(d) F_x[T](j + d)        K(d) = F_y^-1 [ 1 / (1 + l^2 |k|^2) ](d)

Beyond the frame T goes on as at its border.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float32]

LENGTHS = 7.0
"""Lengths l from the point at which a response is cut off: e^-7 = 0.0009 of it lie beyond."""

FEWEST = 8
"""Rows on either side that are read, at least: the response to a point also has small ripples."""

WIDEST = 4
"""A response whose length is more than the detector's columns over this is refused."""

KEV_ANGSTROM = 12.398419843
"""Energy of a photon times its wavelength."""


@dataclass(frozen=True)
class Propagation:
    """What tells how far phase shows in the intensity."""

    energy: float
    """Of the photons, in keV."""
    distance: float
    """From the object to the detector, in m."""
    ratio: float
    """delta / beta, refraction over absorption of the material."""
    pixel: float | None = None
    """Side of a pixel at the object, in micrometres; None where the file may tell."""

    @property
    def length(self) -> float:
        """l, in pixels."""
        assert self.pixel is not None
        wavelength = KEV_ANGSTROM / self.energy * 1e-10
        square = self.distance * wavelength * self.ratio / (4 * math.pi)
        return math.sqrt(square) / (self.pixel * 1e-6)

    @property
    def reach(self) -> int:
        """How many rows on either side, and columns, a value of T' is made of."""
        return max(FEWEST, math.ceil(LENGTHS * self.length))


class PaganinFilter:
    """K for views of so many columns."""

    def __init__(self, length: float, reach: int, columns: int) -> None:
        self.columns, self.reach = columns, reach
        self._padded = scipy.fft.next_fast_len(columns + 2 * reach, real=True)
        self._K = _responses(length, reach, self._padded)

    @property
    def noise(self) -> float:
        """Standard deviation of T' where that of T is 1 and independent from pixel to pixel."""
        K = self._K.astype(np.float64)
        squares = K[0] ** 2 + 2 * (K[1:] ** 2).sum(axis=0)
        # Parseval along the columns, whose negative frequencies are not kept
        twice = 2 * squares.sum() - squares[0] - (squares[-1] if self._padded % 2 == 0 else 0)
        return float(np.sqrt(twice / self._padded))

    def spectrum(self, T: Array) -> NDArray[np.complex64]:
        """F_x[T] of a row [views, columns], which goes on beyond its ends as there."""
        before = self.reach
        after = self._padded - self.columns - before
        padded = np.pad(T, ((0, 0), (before, after)), mode="edge")
        found: NDArray[np.complex64] = scipy.fft.rfft(padded, axis=1)
        return found

    def response(self, d: int) -> Array:
        """K(d), [frequencies]."""
        K: Array = self._K[abs(d)]
        return K

    def row(self, spectrum: NDArray[np.complex64]) -> Array:
        """T' [views, columns] of its F_x."""
        whole = scipy.fft.irfft(spectrum, self._padded, axis=1)
        return np.ascontiguousarray(whole[:, self.reach : self.reach + self.columns], np.float32)


@lru_cache(maxsize=2)
def _responses(length: float, reach: int, padded: int) -> Array:
    """K(d) for d from 0 to the reach, float32 [reach + 1, frequencies]; what is cut off is spread
    evenly, so that a frame of ones stays one."""
    along = 2 * np.pi * scipy.fft.rfftfreq(padded)
    rows = scipy.fft.next_fast_len(4 * reach + 2, real=True)
    across = 2 * np.pi * scipy.fft.rfftfreq(rows)
    H = 1 / (1 + length**2 * (across[:, None] ** 2 + along**2))
    K = scipy.fft.irfft(H, rows, axis=0)[: reach + 1]
    found: NDArray[Any] = K / (K[0, 0] + 2 * K[1:, 0].sum())
    return found.astype(np.float32)
