"""parallel_beam in a problem file: tomography in parallel beams.

/operator        attrs kind = "parallel_beam"; optional attrs, in pixels of the image unless
                 said: spacing of the bins (1), center (the bin, from 0, that the rotation axis
                 is seen at; the middle), pixel (side of a pixel in the unit of length of the
                 image's attenuation; 1)
  angles         float [views], attr units = "deg" or "rad"
/measurements/y  float32 [views, bins], or [T, views, bins]: line integrals
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import real
from asyncred.files.problem.gaps import filled
from asyncred.files.problem.head import Asked, read_stack, write_head
from asyncred.files.problem.plausible import Shades
from asyncred.files.problem.sinogram import Sinogram, of_scan
from asyncred.files.problem.tomography import TomographyData, everywhere, read_center, read_views
from asyncred.files.whole import written_whole
from asyncred.grid import BlockGrid
from asyncred.operators import ForwardModel, Image, Rows
from asyncred.operators.line_integrals import ramp_filtered
from asyncred.operators.parallel_beam import ParallelBeam

Array = NDArray[np.float32]

FINEST = 1e-3
"""The least distance of two bins, in pixels."""


@dataclass(frozen=True)
class ParallelBeamData(TomographyData):
    """``TomographyData`` whose rays are parallel."""

    spacing: float
    between: LastFilled = field(
        default_factory=lambda: LastFilled(), compare=False, repr=False, kw_only=True
    )

    @property
    def width(self) -> float:
        """Of a bin, in pixels."""
        return self.spacing

    def of_views(self, scan: Sinogram, shades: Shades | None) -> tuple[str, ...]:
        """About angles and axis, and the line integrals of some views."""
        return of_scan(scan, self.angles, shades)

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

    def ramp_filtered(self, y: NDArray[np.float32], views: Rows | slice) -> NDArray[np.float32]:
        """What the transpose makes the filtered backprojection of, of y of some views."""
        return self.model([], threads=1).filtered(y, views)

    def backproject(self, model: ForwardModel, i: int, r: Array) -> Array:
        """Block i, with views in the gaps between those that were measured (``gaps``)."""
        own: Array = model.adjoint(i, r, None)
        between = self.between.get(self)
        if between is None:
            return own
        added, lines = between
        seen = added.footprint(i)
        columns = seen.first[:, None] + np.arange(seen.width)
        own += added.adjoint(i, np.take_along_axis(lines, columns, axis=1), None)
        return own

    def measured(self) -> NDArray[np.int64]:
        """The views that have a weight."""
        if self.weights is None:
            return np.arange(self.groups)
        w = self.weights.read(self.stack.index, (slice(0, self.groups), slice(0, self.bins)))
        return np.flatnonzero(w.max(axis=1) > 0)

    def view(self, k: int) -> Array:
        """Line integrals of a view, [bins], bridged where they have no weight."""
        y = self.y(range(k, k + 1))
        if self.weights is not None:
            part = slice(k, k + 1), slice(0, self.bins)
            y = everywhere(y, self.weights.read(self.stack.index, part))
        return y.ravel()


class LastFilled:
    """Views in the gaps of the image that was asked for last, filtered, and their A."""

    def __init__(self) -> None:
        self._key: tuple[int, float] | None = None
        self._found: tuple[ParallelBeam, Array] | None = None

    def get(self, data: ParallelBeamData) -> tuple[ParallelBeam, Array] | None:
        """None where no view is missing."""
        key = data.stack.index, data.center
        if self._key != key:
            self._found, self._key = _between(data), key
        return self._found


def _between(data: ParallelBeamData) -> tuple[ParallelBeam, Array] | None:
    views = data.measured()
    found = filled(data.angles[views], data.center, lambda k: data.view(int(views[k])))
    if found is None:
        return None
    lines = (found.weights / data.pixel**2)[:, None] * ramp_filtered(found.y, 1)
    model = replace(data, angles=found.angles).model([], threads=1)
    return model, np.asarray(lines, np.float32)


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


def read_parallel_beam(
    path: Path, file: h5py.File, grid: BlockGrid, asked: Asked
) -> ParallelBeamData:
    """Check /operator and /measurements/y. Raises ValueError."""
    angles, y = read_views(path, file)
    operator, bins = file["operator"], y.shape[-1]
    return ParallelBeamData(
        path,
        grid,
        read_stack(path, y, 2, asked),
        angles,
        bins,
        center=read_center(path, file, bins, asked),
        pixel=real(path, operator, "pixel", 1.0, positive=True),
        spacing=_spacing(path, operator),
    )


def _spacing(path: Path, operator: h5py.Group) -> float:
    """Of the bins, in pixels. Raises ValueError where every pixel would cover countless bins."""
    found = real(path, operator, "spacing", 1.0, positive=True)
    if not FINEST <= found <= 1 / FINEST:
        raise ValueError(
            f"{path}: /operator spacing is {found:g}, expected {FINEST:g} to {1 / FINEST:g} pixels"
        )
    return found
