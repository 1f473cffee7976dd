"""What the projectors of tomography have in common: blocks, views, bins, and the ramp filter.

x and y are counted from the rotation axis, the middle of the image, in pixels, y upwards. Line
integrals are Joseph's (1982): the image is interpolated linearly along the rows or columns that the
ray crosses, whichever it crosses at the steeper angle. Their transpose is exact.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.grid import BlockGrid, Region, region_shape
from asyncred.operators.protocols import Footprint, Image, Rows

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]
Geometry = tuple[float, float, Numbers, Numbers, Rows]
"""Left, top, cosine, sine and first of some views, as ``kernels`` names them."""

MISSING = 6.0
"""A gap between angles of this many times their mean distance was not measured."""


def angular_weights(angles: Numbers, turn: float = np.pi) -> Numbers:
    """The angle, modulo ``turn``, that each view stands for in an integral over it; [views].

    Half the way to its neighbours on either side: turn / views where the angles divide it evenly,
    and views of one direction share it. A gap that was not measured counts for no one.
    """
    turned = np.mod(angles, turn)
    order = np.argsort(turned)
    gaps = np.diff(turned[order], append=turned[order[0]] + turn)
    mean = turn / angles.size
    gaps[gaps > MISSING * mean] = mean
    weights = np.empty(angles.size)
    weights[order] = (gaps + np.roll(gaps, 1)) / 2
    return weights


def ramp_filtered(y: Array, threads: int, warp: Numbers | None = None) -> Array:
    """y [views, bins] convolved along the bins with the ramp, without wrapping around.

    The kernel of Ramachandran and Lakshminarayanan (1971) for bins one apart, times ``warp`` [bins]
    at the distance of so many bins.
    """
    length = y.shape[1]
    n = scipy.fft.next_fast_len(2 * length - 1, real=True)
    distance = np.minimum(np.arange(n), n - np.arange(n)).astype(np.float64)
    kernel = np.zeros(n)
    kernel[0] = 0.25
    odd = distance % 2 == 1
    kernel[odd] = -1 / (np.pi * distance[odd]) ** 2
    if warp is not None:
        kernel *= warp[np.minimum(distance, length - 1).astype(np.int64)]
    ramp = scipy.fft.rfft(kernel).real.astype(np.float32)
    spectrum = scipy.fft.rfft(y, n, axis=1, workers=threads) * ramp
    filtered: Array = scipy.fft.irfft(spectrum, n, axis=1, workers=threads)[:, :length]
    return filtered


class LineIntegrals:
    """Answers ``ForwardModel``: groups are the views, measurements the bins.

    A subclass says with ``_bins`` where points are seen, and calls its kernels. ``angles`` in
    radians [views]; ``pixel`` is the side of a pixel in the unit of length of x's attenuation. Cost
    of a block: one interpolation a pixel and view, each way.
    """

    dtype = np.float32

    def __init__(
        self, grid: BlockGrid, angles: Numbers, bins: int, *, pixel: float, threads: int
    ) -> None:
        if angles.ndim != 1 or angles.size == 0 or bins < 1:
            raise ValueError(
                f"angles {angles.shape} and {bins} bins, expected one of each at least"
            )
        self.groups, self.length = angles.size, bins
        self._grid, self._pixel, self._threads = grid, pixel, threads
        self._cosine, self._sine = np.cos(angles), np.sin(angles)
        self._footprints: dict[int, Footprint] = {}

    def footprint(self, i: int) -> Footprint:
        """The bins that see block i, or its neighbours' nearest pixels, in each view."""
        if i not in self._footprints:
            self._footprints[i] = self._shadow(self._grid.block(i))
        return self._footprints[i]

    def forward(self, i: int, x_i: Image, groups: Rows | None) -> Array:
        """Line integrals of block i, float32 [views, width of the footprint]."""
        x_i = np.ascontiguousarray(x_i, np.float32)
        views = self.groups if groups is None else groups.size
        out = np.empty((views, self.footprint(i).width), np.float32)
        self._project(x_i, self._geometry(i, groups), out)
        return out

    def adjoint(self, i: int, r: Array, groups: Rows | None) -> Image:
        """The transpose: each pixel's sum over the rays that meet it, float32 [h, w]."""
        out = np.empty(region_shape(self._grid.block(i)), np.float32)
        self._transpose(r, self._geometry(i, groups), out)
        return out

    def _project(self, x_i: Array, geometry: Geometry, out: Array) -> None:
        """The kernel of ``forward``."""
        raise NotImplementedError

    def _transpose(self, r: Array, geometry: Geometry, out: Array) -> None:
        """The kernel of ``adjoint``."""
        raise NotImplementedError

    def _bins(self, x: Numbers, y: Numbers) -> Numbers:
        """Where each view sees points, in bins, [..., views] for x and y [..., 1]."""
        raise NotImplementedError

    def _corner(self, region: Region) -> tuple[float, float]:
        """x of the first column and y of the first row."""
        height, width = self._grid.shape
        return region[1].start - (width - 1) / 2, (height - 1) / 2 - region[0].start

    def _shadow(self, region: Region) -> Footprint:
        (h, w), (left, top) = region_shape(region), self._corner(region)
        x, y = np.array([left - 1, left + w]), np.array([top + 1, top - h])
        bins = self._bins(x[:, None, None], y[None, :, None]).reshape(4, -1)
        begin, end = np.floor(bins.min(0)).astype(np.int64), np.ceil(bins.max(0)).astype(np.int64)
        width = min(int((end - begin).max()) + 1, self.length)
        return Footprint(np.clip(begin, 0, self.length - width), width)

    def _geometry(self, i: int, groups: Rows | None) -> Geometry:
        """What all kernels are told of block i and some views (all), in their order."""
        left, top = self._corner(self._grid.block(i))
        first = self.footprint(i).first
        cosine, sine = self._cosine, self._sine
        if groups is not None:
            cosine, sine, first = cosine[groups], sine[groups], first[groups]
        return left, top, cosine, sine, first
