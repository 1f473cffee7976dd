"""parallel_beam in a problem file: tomography in parallel beams.

/operator        attrs kind = "parallel_beam"; optional attrs, in pixels of the image unless
                 said: spacing of the bins (1), center (the bin, from 0, that the rotation axis
                 is seen at; the middle), pixel (side of a pixel in the unit of length of the
                 image's attenuation; 1)
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
from asyncred.files.problem.head import MIDDLE, Asked, read_stack, write_head
from asyncred.files.problem.kinds import CoupledData, Prior
from asyncred.files.problem.plausible import Shades
from asyncred.files.problem.sinogram import Sinogram, of_scan, step_of
from asyncred.files.whole import open_hdf5, written_whole
from asyncred.grid import BlockGrid
from asyncred.operators import Image
from asyncred.operators.parallel_beam import ParallelBeam

UNITS = {"deg": math.pi / 180, "rad": 1.0}


@dataclass(frozen=True)
class ParallelBeamData(CoupledData):
    """What a file holds of the geometry, and y by view."""

    angles: NDArray[np.float64]
    """Radians, [views]."""
    bins: int
    spacing: float
    center: float
    pixel: float

    prior = Prior(0.0125)
    starts = ("fbp", "adjoint")

    @property
    def groups(self) -> int:
        """The number of views, of which minibatches are drawn."""
        return self.angles.size

    @property
    def words(self) -> str:
        """How much was measured."""
        return f"{self.groups} views of {self.bins} bins"

    def bytes_of(self, blocks: int) -> int:
        """Memory of x, y and the residual, where a rank has as large a share of the views."""
        share = blocks / len(self.grid)
        footprint = math.hypot(*self.grid.block_shape) / self.spacing * self.groups
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
        return of_scan(self.sinogram(y, step), self.angles, shades)

    def sinogram(self, y: NDArray[np.float32], step: int) -> Sinogram:
        """Every ``step``-th view, float32 [views, bins], and what the file says of these."""
        longest = self.pixel * math.hypot(*self.grid.shape)
        return Sinogram(y, self.angles[::step], step, self.center, longest)

    def model(self, blocks: list[int], *, threads: int) -> ParallelBeam:
        """A."""
        return ParallelBeam(
            self.grid,
            self.angles,
            self.bins,
            spacing=self.spacing,
            center=self.center,
            pixel=self.pixel,
            threads=threads,
        )

    def filtered(self, views: range) -> NDArray[np.float32]:
        """What the transpose makes the filtered backprojection of; as ``y``."""
        some = slice(views.start, views.stop)
        return self.model([], threads=1).filtered(self.y(views), some)

    def y(self, views: range) -> NDArray[np.float32]:
        """Line integrals of some views, float32 [views, bins]. Raises ValueError on NaN or Inf."""
        with open_hdf5(self.path) as file:
            where = (*self.stack.leading, slice(views.start, views.stop))
            y = np.asarray(file["measurements/y"][where], np.float32)
        finite(self.path, f"/measurements/y: views {views.start} to {views.stop - 1}", y)
        return y


def write_parallel_beam(
    path: Path,
    truth: Image,
    y: NDArray[np.float32],
    *,
    block: tuple[int, int],
    angles: NDArray[np.float64],
    pixel: float,
) -> None:
    """Write a problem: y float32 [views, bins] with bins of one pixel; angles in degrees."""
    with written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        operator = write_head(file, BlockGrid(truth.shape, block), "parallel_beam")
        operator.attrs["pixel"] = pixel
        operator["angles"] = angles
        operator["angles"].attrs["units"] = "deg"
        file["measurements/y"] = y
        file["truth"] = truth.astype(np.float32)


def asked_center(center: float | str, bins: int) -> float:
    """The bin that ``Asked.center`` means."""
    return (bins - 1) / 2 if center == MIDDLE else float(center)


def read_parallel_beam(
    path: Path, file: h5py.File, grid: BlockGrid, asked: Asked
) -> ParallelBeamData:
    """Check /operator and /measurements/y. Raises ValueError."""
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
    operator, bins = file["operator"], y.shape[-1]
    center = real(path, operator, "center", (bins - 1) / 2, positive=False)
    center = center if asked.center is None else asked_center(asked.center, bins)
    return ParallelBeamData(
        path,
        grid,
        read_stack(path, y, 2, asked),
        angles * UNITS[units],
        bins,
        spacing=real(path, operator, "spacing", 1.0, positive=True),
        center=center,
        pixel=real(path, operator, "pixel", 1.0, positive=True),
    )
