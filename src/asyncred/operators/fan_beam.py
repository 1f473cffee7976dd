"""Tomography in fan beams: line integrals along the rays of a point source, view by view.

    u = (cos theta_v, sin theta_v)    along the detector of view v, towards higher bins
    v = (-sin theta_v, cos theta_v)   from the source towards the detector
    y[v, b] = integral of x along the ray  -a u - R v + s (t_b u + v),   s > 0

The origin is the rotation axis, R the distance of the source from it. The ray with t = 0, which
meets the detector at a right angle, passes the axis at the distance a. On a flat detector t grows
evenly from bin to bin, on a curved one, an arc about the source, arctan t does.

With R to infinity the rays are those of ``ParallelBeam`` at the same angles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asyncred.grid import BlockGrid, region_shape
from asyncred.operators.fan_weights import redundancy, scan_of
from asyncred.operators.kernels import fan_adjoint, fan_backprojection, fan_forward
from asyncred.operators.line_integrals import Geometry, LineIntegrals, ramp_filtered
from asyncred.operators.protocols import Image, Rows

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]


class Detector(Protocol):
    """Where rays meet the bins, counted from the ray with t = 0."""

    def tangent(self, bins: Numbers) -> Numbers:
        """t of the rays that meet these places."""
        ...

    def place(self, tangent: Numbers) -> Numbers:
        """The inverse, in bins."""
        ...

    def warp(self, bins: int) -> Numbers | None:
        """What the ramp is multiplied by at distances of 0 to bins - 1 bins, if anything."""
        ...


@dataclass(frozen=True)
class FlatDetector:
    """``step``: the width of a bin over the distance of the detector from the source."""

    step: float

    def tangent(self, bins: Numbers) -> Numbers:
        """Even steps."""
        return self.step * bins

    def place(self, tangent: Numbers) -> Numbers:
        """The inverse."""
        return tangent / self.step

    def warp(self, bins: int) -> Numbers | None:
        """Nothing."""
        return None


@dataclass(frozen=True)
class CurvedDetector:
    """``step``: the angle of a bin, seen from the source, in radians."""

    step: float

    def tangent(self, bins: Numbers) -> Numbers:
        """Even steps of the angle. Raises ValueError beyond a right angle."""
        angle = self.step * bins
        if np.abs(angle).max() >= np.pi / 2:
            raise ValueError(
                f"the detector reaches {np.degrees(np.abs(angle).max()):.4g} degrees away from the "
                "ray that meets it at a right angle, expected less than 90"
            )
        tangent: Numbers = np.tan(angle)
        return tangent

    def place(self, tangent: Numbers) -> Numbers:
        """The inverse."""
        place: Numbers = np.arctan(tangent) / self.step
        return place

    def warp(self, bins: int) -> Numbers | None:
        """(d / sin d)^2 at the angle d."""
        # NumPy's sinc(x) is sin(pi x) / (pi x).
        warp: Numbers = 1 / np.sinc(self.step * np.arange(bins) / np.pi) ** 2
        return warp


@dataclass(frozen=True)
class Fan:
    """Source and detector; lengths in pixels of the image."""

    source: float
    """R, the distance of the source from the rotation axis along v."""
    detector: Detector
    center: float
    """The bin, counted from 0, that sees the rotation axis."""
    aside: float = 0.0
    """a, how far the axis lies from the ray with t = 0, towards higher bins."""

    def tangents(self, bins: int) -> Numbers:
        """t of all bins. Raises ValueError where a ray is at a right angle to v, or beyond."""
        return self.detector.tangent(np.arange(bins, dtype=np.float64) - self._foot)

    def bins(self, tangent: Numbers) -> Numbers:
        """Where rays meet the detector, in bins."""
        return self.detector.place(tangent) + self._foot

    @property
    def _foot(self) -> float:
        """The bin of t = 0."""
        return self.center - float(self.detector.place(np.array([self.aside / self.source]))[0])

    def from_axis(self, tangent: Numbers) -> Numbers:
        """The angles g of rays from the one through the axis, as ``fan_weights`` counts them."""
        angles: Numbers = np.arctan(self.aside / self.source) - np.arctan(tangent)
        return angles

    def reach(self, radius: float) -> float:
        """The largest of these angles at which rays meet a circle about the axis."""
        return math.asin(min(1.0, radius / math.hypot(self.source, self.aside)))

    def check(self, shape: tuple[int, int]) -> None:
        """Raise ValueError where the source would turn through the image, given its shape."""
        least = math.hypot(shape[0] + 1, shape[1] + 1) / 2
        if self.source <= least:
            raise ValueError(
                f"the source is {self.source:.4g} pixels away from the rotation axis, expected "
                f"more than {least:.4g}: it would turn through the image of {shape[0]}x{shape[1]}"
            )


class FanBeam(LineIntegrals):
    """``LineIntegrals`` along the rays of a fan."""

    def __init__(
        self,
        grid: BlockGrid,
        angles: Numbers,
        bins: int,
        fan: Fan,
        *,
        pixel: float = 1.0,
        threads: int,
    ) -> None:
        super().__init__(grid, angles, bins, pixel=pixel, threads=threads)
        fan.check(grid.shape)
        self._fan, self._angles = fan, angles
        self._tangent = fan.tangents(bins)

    def filtered(self, y: Array, groups: Rows | slice = slice(None)) -> Array:
        """y of some views (all) such that ``backproject`` makes the filtered backprojection of it.

        float32 [views, bins]. Kak and Slaney (1988), section 3.4, for both detectors; the ray
        through the axis need not be that with t = 0 (Gullberg, Crawford, Tsui, IEEE Transactions on
        Medical Imaging 5(1), 1986). ``fan_weights`` has the weights of views and rays.
        """
        scan, fan = scan_of(self._angles), self._fan
        cosine = 1 / np.sqrt(1 + self._tangent**2)
        reach = fan.reach(max(self._grid.shape) / 2)
        g = fan.from_axis(self._tangent)
        rays = redundancy(scan, self._angles[groups], g, reach)
        rays = rays * (cosine * (1 + fan.aside / fan.source * self._tangent))
        warp = fan.detector.warp(self.length)
        filtered = ramp_filtered(rays.astype(np.float32) * y, self._threads, warp)
        # Both the integrals and the transpose have the unit of pixel.
        weights = (scan.weights()[groups, None] * cosine / self._pixel**2).astype(np.float32)
        return np.ascontiguousarray(weights * filtered, np.float32)

    def backproject(self, i: int, r: Array) -> Image:
        """``adjoint``, with what a pixel gets from a view times R over its depth along v."""
        out = np.empty(region_shape(self._grid.block(i)), np.float32)
        fan_backprojection(r, *self._geometry(i, None), *self._source, out, self._threads)
        return out

    def _project(self, x_i: Array, geometry: Geometry, out: Array) -> None:
        fan_forward(x_i, *geometry, *self._source, out, self._threads)

    def _transpose(self, r: Array, geometry: Geometry, out: Array) -> None:
        fan_adjoint(r, *geometry, *self._source, out, self._threads)

    @property
    def _source(self) -> tuple[Numbers, float, float, float]:
        """What the kernels are told of rays and source."""
        return self._tangent, self._fan.aside, self._fan.source, self._pixel

    def _bins(self, x: Numbers, y: Numbers) -> Numbers:
        fan, c, s = self._fan, self._cosine, self._sine
        along: Numbers = x * c + y * s + fan.aside
        return fan.bins(along / (y * c - x * s + fan.source))
