"""fan_beam in a problem file: tomography with a point source.

/operator        attrs kind = "fan_beam", source_axis, axis_detector: distances; optional attrs
                 spacing of the bins (1), detector = "flat" or "curved" (flat), center (the bin,
                 from 0, that the rotation axis is seen at; the middle), axis_offset (of the axis
                 from the ray at right angles to the detector; 0), pixel (side of a pixel; a bin, as
                 it is seen at the axis). Lengths in the unit of length of the image's attenuation
  angles         float [views], attr units = "deg" or "rad"
/measurements/y  float32 [views, bins], or [T, views, bins]: line integrals
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fan_geometry import FanGeometry, read_fan_geometry
from asyncred.files.problem.fan_sinogram import FanSinogram, of_fan
from asyncred.files.problem.head import Asked, read_stack, write_head
from asyncred.files.problem.plausible import Shades
from asyncred.files.problem.sinogram import Sinogram
from asyncred.files.problem.tomography import TomographyData, read_center, read_views
from asyncred.files.whole import written_whole
from asyncred.grid import BlockGrid
from asyncred.operators import ForwardModel, Image, Rows
from asyncred.operators.fan_beam import Fan, FanBeam


@dataclass(frozen=True)
class FanBeamData(TomographyData):
    """``TomographyData`` whose rays come from a point."""

    fan: Fan

    # Half that of parallel beams: a whole turn measures every ray twice, which doubles ||A||^2.

    @property
    def width(self) -> float:
        """Of a bin, seen at the rotation axis, in pixels."""
        return float(self.fan.source * self.fan.detector.tangent(np.ones(1))[0])

    def of_views(self, scan: Sinogram, shades: Shades | None) -> tuple[str, ...]:
        """About angles and geometry, and the line integrals of some views."""
        return of_fan(FanSinogram(scan, self.angles, self.fan, self.grid.shape), shades)

    def model(self, blocks: list[int], *, threads: int) -> FanBeam:
        """A."""
        return FanBeam(
            self.grid, self.angles, self.bins, self.fan, pixel=self.pixel, threads=threads
        )

    def ramp_filtered(self, y: NDArray[np.float32], views: Rows | slice) -> NDArray[np.float32]:
        """What ``backproject`` makes the filtered backprojection of, of y of some views."""
        return self.model([], threads=1).filtered(y, views)

    def backproject(self, model: ForwardModel, i: int, r: NDArray[np.float32]) -> Image:
        """With the weight of the distance from the source, which the transpose lacks."""
        return cast(FanBeam, model).backproject(i, r)


def write_fan_beam(
    path: Path,
    truth: Image,
    y: NDArray[np.float32],
    *,
    block: tuple[int, int],
    angles: NDArray[np.float64],
    geometry: FanGeometry,
) -> None:
    """Write a problem: y float32 [views, bins]; angles in degrees."""
    with written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        operator = write_head(file, BlockGrid(truth.shape, block), "fan_beam")
        operator.attrs.update(geometry.attributes)
        operator["angles"] = angles
        operator["angles"].attrs["units"] = "deg"
        file["measurements/y"] = y
        file["truth"] = truth.astype(np.float32)


def read_fan_beam(path: Path, file: h5py.File, grid: BlockGrid, asked: Asked) -> FanBeamData:
    """Check /operator and /measurements/y. Raises ValueError."""
    angles, y = read_views(path, file)
    geometry, bins = read_fan_geometry(path, file["operator"]), y.shape[-1]
    center = read_center(path, file, bins, asked)
    fan = replace(geometry, center=center).fan(bins)
    try:
        fan.check(grid.shape)
        fan.tangents(bins)
    except ValueError as error:
        raise ValueError(
            f"{path}: /operator source_axis {geometry.source_axis:g}, axis_detector "
            f"{geometry.axis_detector:g}, spacing {geometry.spacing:g}, pixel {geometry.side:g}: "
            f"{error}; all four are to be in one unit of length"
        ) from None
    return FanBeamData(
        path,
        grid,
        read_stack(path, y, 2, asked),
        angles,
        bins,
        center=center,
        pixel=geometry.side,
        fan=fan,
    )
