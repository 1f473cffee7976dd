"""What the kinds of tomography have in common in a problem file: angles, views of bins.

/operator        optional attrs center (the bin, from 0, that the rotation axis is seen at; the
                 middle) and pixel (side of a pixel in the unit of length of the image's
                 attenuation)
  angles         float [views], attr units = "deg" or "rad"
/measurements/y  float32 [views, bins], or [T, views, bins]: line integrals
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import finite, node, real, reals, string
from asyncred.files.problem.head import MIDDLE, Asked
from asyncred.files.problem.kinds import CoupledData, Prior
from asyncred.files.problem.noise_estimate import of_lines, relative
from asyncred.files.problem.plausible import Shades
from asyncred.files.problem.sinogram import Sinogram, step_of
from asyncred.files.whole import open_hdf5

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]

UNITS = {"deg": math.pi / 180, "rad": 1.0}


@dataclass(frozen=True)
class TomographyData(CoupledData):
    """What a file holds of the views, and y by view; a subclass knows the rays."""

    angles: Numbers
    """Radians, [views]."""
    bins: int
    center: float
    pixel: float

    prior = Prior(least=0.004)
    starts = ("fbp", "adjoint")

    @property
    def groups(self) -> int:
        """The number of views, of which minibatches are drawn."""
        return self.angles.size

    @property
    def words(self) -> str:
        """How much was measured."""
        return f"{self.groups} views of {self.bins} bins"

    @property
    def width(self) -> float:
        """Of a bin, as far from the source as the rotation axis, in pixels."""
        raise NotImplementedError

    def bytes_of(self, blocks: int) -> int:
        """Memory of x, y and the residual, where a rank has as large a share of the views."""
        share = blocks / len(self.grid)
        footprint = math.hypot(*self.grid.block_shape) / self.width * self.groups
        n = math.prod(self.grid.block_shape)
        return round(4 * (blocks * n + share * self.groups * self.bins + 4 * footprint))

    def check(self) -> None:
        """Read all that can be wrong. Raises ValueError."""
        for view in range(self.groups):
            self.y(range(view, view + 1))

    def doubts(self, shades: Shades | None) -> tuple[str, ...]:
        """About angles and axis, and the line integrals of some views."""
        step = step_of(self.groups, self.bins)
        with open_hdf5(self.path) as file:
            where = (*self.stack.leading, slice(None, None, step))
            y = np.asarray(file["measurements/y"][where], np.float32)
        return self.of_views(self.sinogram(y, step), shades)

    def noise(self) -> float | None:
        """By some views, along their bins."""
        step = step_of(self.groups, self.bins)
        with open_hdf5(self.path) as file:
            where = (*self.stack.leading, slice(None, None, step))
            y = np.asarray(file["measurements/y"][where], np.float32)
        return self.of_pixels(relative(of_lines(y), y))

    def of_pixels(self, found: float | None) -> float | None:
        """The noise ``found`` in line integrals, relative to them, as ``noise`` says it."""
        pixels, measurements = math.prod(self.grid.shape), self.groups * self.bins
        return None if found is None else found * math.sqrt(pixels / measurements)

    def of_views(self, scan: Sinogram, shades: Shades | None) -> tuple[str, ...]:
        """Doubts about some views, for which ``sinogram`` was asked."""
        raise NotImplementedError

    def sinogram(self, y: Array, step: int) -> Sinogram:
        """Every ``step``-th view, float32 [views, bins], and what the file says of these."""
        longest = self.pixel * math.hypot(*self.grid.shape)
        return Sinogram(y, self.angles[::step], step, self.center, longest)

    def y(self, views: range) -> Array:
        """Line integrals of some views, float32 [views, bins]. Raises ValueError on NaN or Inf."""
        with open_hdf5(self.path) as file:
            where = (*self.stack.leading, slice(views.start, views.stop))
            y = np.asarray(file["measurements/y"][where], np.float32)
        finite(self.path, f"/measurements/y: views {views.start} to {views.stop - 1}", y)
        return y


def read_views(path: Path, file: h5py.File) -> tuple[Numbers, h5py.Dataset]:
    """Angles in radians [views] and y, with as many views. Raises ValueError."""
    dataset = node(path, file, "operator/angles", h5py.Dataset)
    angles = reals(path, dataset, 1, "numbers [views]")
    units = string(dataset, "units")
    if units not in UNITS:
        raise ValueError(f"{path}: /operator/angles units is {units!r}, expected 'deg' or 'rad'")
    y = node(path, file, "measurements/y", h5py.Dataset)
    if y.ndim not in (2, 3) or y.shape[-2] != angles.size or y.dtype.kind != "f":
        raise ValueError(
            f"{path}: /measurements/y is {y.dtype} {list(y.shape)}, expected float32 "
            f"[{angles.size}, bins] (as many views as angles), or this with a leading axis of "
            "images"
        )
    return angles * UNITS[units], y


def asked_center(center: float | str, bins: int) -> float:
    """The bin that ``Asked.center`` means."""
    return (bins - 1) / 2 if center == MIDDLE else float(center)


def read_center(path: Path, file: h5py.File, bins: int, asked: Asked) -> float:
    """The bin that sees the rotation axis. Raises ValueError."""
    center = real(path, file["operator"], "center", (bins - 1) / 2, positive=False)
    return center if asked.center is None else asked_center(asked.center, bins)
