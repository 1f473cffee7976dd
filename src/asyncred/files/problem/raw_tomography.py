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

from asyncred.files.problem.absorption import absorbing
from asyncred.files.problem.axis import Found, completed, redundancy, rotation_axis, side_for
from asyncred.files.problem.band import of_phase
from asyncred.files.problem.counts import Counts, LastSlice
from asyncred.files.problem.fields import string
from asyncred.files.problem.frames import named
from asyncred.files.problem.head import Asked, block_for, choose
from asyncred.files.problem.kinds import CoupledData
from asyncred.files.problem.noise_estimate import of_lines, relative
from asyncred.files.problem.parallel_beam import ParallelBeamData
from asyncred.files.problem.plausible import Shades, of_images, spread
from asyncred.files.problem.sinogram import Sinogram, of_scan, step_of
from asyncred.files.problem.survey import Survey, survey
from asyncred.grid import BlockGrid
from asyncred.operators import ForwardModel

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]
Frame = NDArray[np.int64]

SURVEYED = 3
"""Slices that are looked at beforehand, at most."""

FURTHER = 9
"""Slices that are looked at where those tell no axis, at most."""

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
    absorbs: bool
    """Whether these are nowhere below 0: no beam is brighter than the white field."""
    last: LastSlice = field(default_factory=LastSlice, compare=False, repr=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found, and taken for granted, beforehand."""
        return self.remarks

    def doubts(self, shades: Shades | None) -> tuple[str, ...]:
        """About the slices that were looked at beforehand."""
        return self.suspected

    @property
    def floor(self) -> float | None:
        """0: nothing adds to the beam, unless it seems so."""
        return 0.0 if self.absorbs else None

    def noise(self) -> float | None:
        """By the slices that were looked at; with weights by this one."""
        if not self.by_counts or self.counts.detector.corrections.phase is not None:
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

    def backproject(self, model: ForwardModel, i: int, r: Array) -> Array:
        """As of ``ParallelBeamData``; of half acquisition without views between the others."""
        if not self.half:
            return super().backproject(model, i, r)
        own: Array = model.adjoint(i, r, None)
        return own

    def view(self, k: int) -> Array:
        """Line integrals of a view, [bins], whatever slice is kept."""
        return self.counts.line_integrals(self.stack.index, range(k, k + 1)).ravel()

    def y(self, views: range) -> Array:
        """Line integrals of some views, float32 [views, bins]. Raises ValueError on NaN or Inf."""
        return self.last.get(self.counts, self.stack.index, views)


def read_raw_tomography(
    counts: Counts, angles: Numbers, asked: Asked, notes: list[str]
) -> CoupledData:
    """What to run with; ``angles`` in radians [views]. Raises ValueError."""
    _, rows, bins = counts.shape
    retrieval = of_phase(counts)
    stack = choose(counts.path, rows, asked)
    for most in (SURVEYED, FURTHER):
        slices = [stack.chosen[k] for k in spread(len(stack.chosen), most)]
        try:
            found = survey(counts, slices)
            axis = _axis(counts.path, found, angles[found.good], asked)
            break
        except ValueError:
            if len(slices) in (len(stack.chosen), FURTHER):
                raise
    angles, y = angles[found.good], found.y
    told = [row not in axis.silent for row in found.slices]
    field_of_view = side_for(y[told], angles, axis.center)
    side = asked.size or field_of_view
    surveyed = dict(zip(found.slices, y, strict=True))
    return RawTomographyData(
        counts.path,
        BlockGrid((side, side), block_for((side, side), asked)),
        stack,
        angles,
        bins,
        spacing=1.0,
        center=axis.center,
        pixel=1.0,
        counts=found.counts,
        half=field_of_view > bins,
        remarks=(
            *axis.notes,
            *_of_side(side, bins),
            *notes,
            *retrieval,
            *found.frames,
            *found.notes,
        ),
        suspected=(
            *axis.doubts,
            *found.doubts,
            *_suspected(counts, surveyed, angles, axis.center, side),
        ),
        roughness=_roughness(y[told], [n for n, k in zip(found.noise, told, strict=True) if k]),
        absorbs=absorbing(y),
    )


def _axis(path: Path, found: Survey, angles: Numbers, asked: Asked) -> Found:
    """The rotation axis. Raises ValueError that names the frames without which it is not found."""
    try:
        return rotation_axis(path, found.y, found.slices, angles, asked)
    except ValueError as error:
        raise ValueError("; ".join((str(error), *found.frames))) from None


def _roughness(slices: Array, noise: list[float | None]) -> float | None:
    found = [relative(sigma, y) for sigma, y in zip(noise, slices, strict=True)]
    known = [noise for noise in found if noise is not None]
    return float(np.median(known)) if known else None


def read_angles(path: Path, dataset: h5py.Dataset, count: int, used: Frame) -> Numbers:
    """Angles in radians of the frames that are used, of ``count``, and finite there.

    In degrees where the units are not said. Raises ValueError.
    """
    angles = np.asarray(dataset[()])
    if angles.ndim != 1 or angles.dtype.kind not in "fiu" or angles.size != count:
        raise ValueError(
            f"{path}: {dataset.name} is {dataset.dtype} {list(dataset.shape)}, "
            f"expected numbers [{count}], one for each frame"
        )
    angles = angles[used].astype(np.float64)
    lost = used[~np.isfinite(angles)]
    if lost.size:
        raise ValueError(
            f"{path}: {dataset.name} is NaN or Inf in frames {named(lost)}, expected finite "
            f"numbers [{count}] in all projections: --views A:B leaves others out"
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
