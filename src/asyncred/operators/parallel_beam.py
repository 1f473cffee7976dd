"""Tomography in parallel beams: line integrals along rays, view by view.

y[v, b] = integral of x along the ray  x cos(theta_v) + y sin(theta_v) = (b - center) spacing
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncred.grid import BlockGrid
from asyncred.operators.kernels import joseph_adjoint, joseph_forward
from asyncred.operators.line_integrals import (
    Geometry,
    LineIntegrals,
    angular_weights,
    ramp_filtered,
)
from asyncred.operators.protocols import Rows

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]


class ParallelBeam(LineIntegrals):
    """``LineIntegrals`` along rays that are parallel in each view.

    ``spacing`` of the bins in pixels; ``center``, the bin, counted from 0, that sees the rotation
    axis (the middle).
    """

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
        super().__init__(grid, angles, bins, pixel=pixel, threads=threads)
        self._weights = angular_weights(angles)
        self._spacing = spacing
        self._center = (bins - 1) / 2 if center is None else center

    def filtered(self, y: Array, groups: Rows | slice = slice(None)) -> Array:
        """y of some views (all) such that its ``adjoint`` is the filtered backprojection.

        float32 [views, bins]. Each view weighs what ``angular_weights`` says.
        """
        # Both the integrals and the transpose have the unit of pixel.
        weights = (self._weights[groups] / self._pixel**2).astype(np.float32)
        filtered = ramp_filtered(y, self._threads)
        return np.ascontiguousarray(weights[:, None] * filtered, np.float32)

    def _project(self, x_i: Array, geometry: Geometry, out: Array) -> None:
        joseph_forward(x_i, *geometry, self._center, self._spacing, self._pixel, out, self._threads)

    def _transpose(self, r: Array, geometry: Geometry, out: Array) -> None:
        joseph_adjoint(r, *geometry, self._center, self._spacing, self._pixel, out, self._threads)

    def _bins(self, x: Numbers, y: Numbers) -> Numbers:
        place: Numbers = x * self._cosine + y * self._sine
        return place / self._spacing + self._center
