"""Tomography from a foreign file: counts in place of line integrals, one slice an image.

The image is as wide as the detector, or as the field of view of half acquisition (``axis``), its
pixels as large as the detector's, the attenuation per pixel. A few slices are looked at
beforehand: for the rotation axis, where nobody says it, and for what is worth a note.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.axis import completed, redundancy, rotation_axis, side_for
from asyncred.files.problem.counts import LEAST, Counts, LastSlice
from asyncred.files.problem.fields import reals, string
from asyncred.files.problem.flaws import bridged, zingers
from asyncred.files.problem.head import Asked, block_for, choose
from asyncred.files.problem.kinds import CoupledData
from asyncred.files.problem.noise_estimate import of_lines, relative
from asyncred.files.problem.parallel_beam import ParallelBeamData
from asyncred.files.problem.plausible import Shades, of_images, spread
from asyncred.files.problem.sinogram import Sinogram, of_scan, step_of
from asyncred.grid import BlockGrid

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]

SURVEYED = 3
"""Slices that are looked at beforehand, at most."""

FURTHER = 9
"""Slices that are looked at where those tell no axis, at most."""

LARGEST = 1.5
"""No transmission is larger, but for zingers."""

UNITLESS = 2 * np.pi + 0.01
"""Angles without units over no more than this may as well be radians."""


@dataclass(frozen=True)
class RawTomographyData(ParallelBeamData):
    """``ParallelBeamData`` whose measurements are counts; ``stack`` numbers the slices."""

    counts: Counts
    half: bool
    """Whether opposing views see the object's other half (half acquisition over a whole turn)."""
    remarks: tuple[str, ...]
    suspected: tuple[str, ...]
    """Doubts about the slices that were looked at."""
    roughness: float | None
    """The noise of their line integrals, relative to these."""
    last: LastSlice = field(default_factory=LastSlice, compare=False, repr=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found, and taken for granted, beforehand."""
        return self.remarks

    def doubts(self, shades: Shades | None) -> tuple[str, ...]:
        """About the slices that were looked at beforehand."""
        return self.suspected

    def noise(self) -> float | None:
        """By the slices that were looked at; with weights by this one."""
        if not self.by_counts:
            return self.of_pixels(self.roughness)
        y, w = self.y(range(self.groups)), self.weights_of(range(self.groups))
        return self.of_pixels(relative(of_lines(y, w), y, w))

    def weights_of(self, views: range) -> Array | None:
        """Corrected counts of some views, as ``y``, where weights are asked for."""
        return self.counts.photons(self.stack.index, views) if self.by_counts else None

    def check(self) -> None:
        """Read all of a slice. Raises ValueError."""
        self.y(range(self.groups))

    def filtered(self, views: range) -> Array:
        """As of ``ParallelBeamData``; of half acquisition with the opposing views."""
        if not self.half:
            return super().filtered(views)
        some = slice(views.start, views.stop)
        whole = completed(self.y(range(self.groups)), self.angles, self.center)
        bins, center = whole.y.shape[1], self.center + whole.first
        wide = replace(self, bins=bins, center=center).model([], threads=1)
        own = wide.filtered(whole.y[some], some)[:, whole.first : whole.first + self.bins]
        return np.ascontiguousarray(own * redundancy(self.bins, self.center))

    def y(self, views: range) -> Array:
        """Line integrals of some views, float32 [views, bins]. Raises ValueError on NaN or Inf."""
        return self.last.get(self.counts, self.stack.index, views)


def read_raw_tomography(
    counts: Counts, angles: Numbers, asked: Asked, notes: list[str]
) -> CoupledData:
    """What to run with; ``angles`` in radians [views]. Raises ValueError."""
    _, rows, bins = counts.shape
    stack = choose(counts.path, rows, asked)
    for most in (SURVEYED, FURTHER):
        slices = [stack.chosen[k] for k in spread(len(stack.chosen), most)]
        y, found = _survey(counts, slices)
        try:
            axis = rotation_axis(counts.path, y, slices, angles, asked)
            break
        except ValueError:
            if len(slices) in (len(stack.chosen), FURTHER):
                raise
    told = [row not in axis.silent for row in slices]
    field_of_view = side_for(y[told], angles, axis.center)
    side = asked.size or field_of_view
    surveyed = dict(zip(slices, y, strict=True))
    return RawTomographyData(
        counts.path,
        BlockGrid((side, side), block_for((side, side), asked)),
        stack,
        angles,
        bins,
        spacing=1.0,
        center=axis.center,
        pixel=1.0,
        counts=counts,
        half=field_of_view > bins,
        remarks=(*axis.notes, *_of_side(side, bins), *notes, *found),
        suspected=(*axis.doubts, *_suspected(counts, surveyed, angles, axis.center, side)),
        roughness=_roughness([y_i for y_i, known in zip(y, told, strict=True) if known]),
    )


def _roughness(slices: list[Array]) -> float | None:
    found = [relative(of_lines(y), y) for y in slices]
    known = [noise for noise in found if noise is not None]
    return float(np.median(known)) if known else None


def read_angles(path: Path, dataset: h5py.Dataset, count: int) -> Numbers:
    """Angles in radians [count]; degrees where the units are not said. Raises ValueError."""
    angles = reals(path, dataset, 1, f"numbers [{count}]")
    if angles.size != count:
        raise ValueError(
            f"{path}: {dataset.name} is {dataset.dtype} {list(dataset.shape)}, "
            f"expected numbers [{count}], one for each frame"
        )
    return in_radians(path, dataset.name, angles, string(dataset, "units"))


def in_radians(path: Path, name: str, angles: Numbers, units: str | None) -> Numbers:
    """Angles of a dataset in its units, degrees where these are not said. Raises ValueError."""
    if units is None and 0 < np.ptp(angles) <= UNITLESS:
        raise ValueError(
            f"{path}: {name} spans {np.ptp(angles):.4g} and has no attribute units, "
            "expected 'deg' or 'rad'"
        )
    if units is not None and not units.lower().startswith(("deg", "rad")):
        raise ValueError(f"{path}: {name} units is {units!r}, expected 'deg' or 'rad'")
    return angles if units and units.lower().startswith("rad") else np.radians(angles)


def _of_side(side: int, bins: int) -> tuple[str, ...]:
    """What is to be said of the size of the image."""
    if side == bins:
        return ()
    return (f"image of {side}x{side} pixels about the axis, for {bins} bins (--size)",)


def _suspected(
    counts: Counts, y: Mapping[int, Array], angles: Numbers, center: float, side: int
) -> tuple[str, ...]:
    """Doubts about some slices by number, line integrals [views, bins]."""
    longest = math.hypot(side, side)
    step = step_of(angles.size, counts.shape[2])
    some, place = angles[::step], f"/{counts.projections.name}"
    found = {
        row: of_scan(Sinogram(slice_[::step], some, step, center, longest, place), angles, None)
        for row, slice_ in y.items()
    }
    return of_images(found, stack=True)


def _survey(counts: Counts, slices: list[int]) -> tuple[Array, list[str]]:
    """y of some slices, float32 [slices, views, bins], and what is wrong with them."""
    views, _, bins = counts.shape
    y = np.empty((len(slices), views, bins), np.float32)
    bright, low, dead_columns = 0, 0, 0
    for k, row in enumerate(slices):
        transmissions, dead = counts.transmissions(row, range(views))
        living = transmissions[:, ~dead]
        if counts.white is None:
            _check_transmissions(counts, row, living)
        bright += zingers(living)
        dead_columns += int(dead.sum())
        low += int((living < LEAST).sum())
        y[k] = bridged(-np.log(np.maximum(transmissions, np.float32(LEAST))), dead)
    found = {
        "zingers (left as they are)": bright,
        "dead columns (no light, or stuck; bridged from their neighbours)": dead_columns,
        f"transmissions below {LEAST:g} (raised to it)": low,
    }
    where = f"slice{'s' * (len(slices) > 1)} {', '.join(map(str, slices))}"
    return y, [f"{where}: {what}: {count}" for what, count in found.items() if count]


def _check_transmissions(counts: Counts, row: int, values: Array) -> None:
    """Raise ValueError unless values without a white field can be transmissions."""
    top = float(np.quantile(values, 0.999))
    middle = values.shape[1] // 4
    outside = np.median(np.c_[values[:, :1], values[:, -1:]])
    if top > LARGEST or outside < np.median(values[:, middle : values.shape[1] - middle]):
        raise ValueError(
            f"{counts.path}: no white field, and row {row} of /{counts.projections.name} is up to "
            f"{top:.4g}, {outside:.4g} at its ends: expected a white field, or transmissions up "
            f"to {LARGEST} that are largest beside the object"
        )
