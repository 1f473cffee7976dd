"""Tomography in parallel beams: line integrals along rays, view by view.

    y[v, b] = integral of x along the ray  x cos(theta_v) + y sin(theta_v) = (b - center) spacing

x and y are counted from the rotation axis, the middle of the image, in pixels, y upwards. The
integral is Joseph's (1982): the image is interpolated linearly along the rows or columns that the
ray crosses, whichever it crosses at the steeper angle. Its transpose is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from asyncred.grid import BlockGrid, Region, region_shape
from asyncred.operators.kernels import joseph_adjoint, joseph_forward
from asyncred.operators.protocols import Footprint, Image, Rows

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]
Geometry = tuple[float, float, Numbers, Numbers, Rows, float, float, float]

MISSING = 6.0
"""A gap between angles of this many times their mean distance was not measured."""


def angular_weights(angles: Numbers) -> Numbers:
    """The angle, modulo pi, that each view stands for in an integral over half a turn; [views].

    Half the way to its neighbours on either side: pi / views where the angles divide half a turn
    evenly, and views of one direction share it. A gap that was not measured counts for no one.
    """
    turned = np.mod(angles, np.pi)
    order = np.argsort(turned)
    gaps = np.diff(turned[order], append=turned[order[0]] + np.pi)
    mean = np.pi / angles.size
    gaps[gaps > MISSING * mean] = mean
    weights = np.empty(angles.size)
    weights[order] = (gaps + np.roll(gaps, 1)) / 2
    return weights


class ParallelBeam:
    """A ``ForwardModel`` whose groups are the views and whose measurements are bins.

    ``angles`` in radians [views]; ``spacing`` of the bins in pixels; ``center``, the bin, counted
    from 0, that sees the rotation axis (the middle); ``pixel``, the side of a pixel in the unit of
    length of x's attenuation. Cost of a block: one interpolation a pixel and view, each way.
    """

    dtype = np.float32

    def __init__(
        self,
        grid: BlockGrid,
        angles: NDArray[np.float64],
        bins: int,
        *,
        spacing: float = 1.0,
        center: float | None = None,
        pixel: float = 1.0,
        threads: int,
    ) -> None:
        if angles.ndim != 1 or angles.size == 0 or bins < 1:
            raise ValueError(
                f"angles {angles.shape} and {bins} bins, expected one of each at least"
            )
        self.groups, self.length = angles.size, bins
        self._grid = grid
        self._cosine, self._sine = np.cos(angles), np.sin(angles)
        self._weights = angular_weights(angles)
        self._spacing, self._pixel, self._threads = spacing, pixel, threads
        self._center = (bins - 1) / 2 if center is None else center
        self._footprints: dict[int, Footprint] = {}

    def footprint(self, i: int) -> Footprint:
        """The bins that see block i, or its neighbours' nearest pixels, in each view."""
        if i not in self._footprints:
            self._footprints[i] = self._shadow(self._grid.block(i))
        return self._footprints[i]

    def forward(self, i: int, x_i: Image, groups: Rows | None) -> Array:
        """Line integrals of block i, float32 [views, width of the footprint]."""
        x_i, geometry = np.ascontiguousarray(x_i, np.float32), self._geometry(i, groups)
        out = np.empty((geometry[4].size, self.footprint(i).width), np.float32)
        joseph_forward(x_i, *geometry, out, self._threads)
        return out

    def adjoint(self, i: int, r: Array, groups: Rows | None) -> Image:
        """The transpose: each pixel's sum over the rays that meet it, float32 [h, w]."""
        out = np.empty(region_shape(self._grid.block(i)), np.float32)
        joseph_adjoint(r, *self._geometry(i, groups), out, self._threads)
        return out

    def filtered(self, y: Array, groups: Rows | slice = slice(None)) -> Array:
        """y of some views (all) such that its ``adjoint`` is the filtered backprojection.

        float32 [views, bins]. The ramp of Ramachandran and Lakshminarayanan (1971), convolved
        without wrapping around; each view weighs what ``angular_weights`` says.
        """
        n = fft.next_fast_len(2 * self.length - 1, real=True)
        distance = np.minimum(np.arange(n), n - np.arange(n)).astype(np.float64)
        kernel = np.zeros(n)
        kernel[0] = 0.25
        odd = distance % 2 == 1
        kernel[odd] = -1 / (np.pi * distance[odd]) ** 2
        # Both the integrals and the transpose have the unit of pixel.
        weights = (self._weights[groups] / self._pixel**2).astype(np.float32)
        ramp = fft.rfft(kernel).real.astype(np.float32)
        spectrum = fft.rfft(y, n, axis=1, workers=self._threads) * ramp
        filtered = fft.irfft(spectrum, n, axis=1, workers=self._threads)[:, : self.length]
        return np.ascontiguousarray(weights[:, None] * filtered, np.float32)

    def _corner(self, region: Region) -> tuple[float, float]:
        """x of the first column and y of the first row."""
        height, width = self._grid.shape
        return region[1].start - (width - 1) / 2, (height - 1) / 2 - region[0].start

    def _shadow(self, region: Region) -> Footprint:
        (h, w), (left, top) = region_shape(region), self._corner(region)
        x, y = np.array([left - 1, left + w]), np.array([top + 1, top - h])
        place = x[:, None, None] * self._cosine + y[None, :, None] * self._sine
        bins = place.reshape(4, -1) / self._spacing + self._center
        begin, end = np.floor(bins.min(0)).astype(np.int64), np.ceil(bins.max(0)).astype(np.int64)
        width = min(int((end - begin).max()) + 1, self.length)
        return Footprint(np.clip(begin, 0, self.length - width), width)

    def _geometry(self, i: int, groups: Rows | None) -> Geometry:
        """What the kernels are told of block i and some views (all), in their order."""
        left, top = self._corner(self._grid.block(i))
        first = self.footprint(i).first
        cosine, sine = self._cosine, self._sine
        if groups is not None:
            cosine, sine, first = cosine[groups], sine[groups], first[groups]
        return left, top, cosine, sine, first, self._center, self._spacing, self._pixel
