"""What the kinds of tomography have in common in a problem file: angles, views of bins.

/operator        optional attrs center (the bin, from 0, that the rotation axis is seen at; the
                 middle) and pixel (side of a pixel in the unit of length of the image's
                 attenuation)
  angles         float [views], attr units = "deg" or "rad"
/measurements/y  float32 [views, bins], or [T, views, bins]: line integrals
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import finite, node, real, reals, string
from asyncred.files.problem.head import MIDDLE, Asked
from asyncred.files.problem.kinds import CoupledData, Prior
from asyncred.files.problem.noise_estimate import of_lines, relative
from asyncred.files.problem.plausible import Shades
from asyncred.files.problem.sinogram import LARGEST, Sinogram, step_of
from asyncred.files.problem.weights import Part
from asyncred.files.whole import open_hdf5
from asyncred.operators import Rows

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]

UNMEASURED = "; /measurements/weights of 0 say what was not measured"
UNITS = {"deg": math.pi / 180, "rad": 1.0}


@dataclass(frozen=True)
class TomographyData(CoupledData):
    """What a file holds of the views, and y by view; a subclass knows the rays."""

    angles: Numbers
    """Radians, [views]."""
    bins: int
    center: float
    pixel: float
    by_counts: bool = field(default=False, kw_only=True)
    """Whether weights are what the detector counted: where it saw more, y is more certain."""

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
        n, own = math.prod(self.grid.block_shape), share * self.groups * self.bins
        weights = 0.0 if self.weighting == "none" else own + blocks * footprint
        return round(4 * (blocks * n + own + 4 * footprint + weights))

    def check(self) -> None:
        """Read all that can be wrong. Raises ValueError."""
        for view in range(self.groups):
            self.y(range(view, view + 1))

    def doubts(self, shades: Shades | None) -> tuple[str, ...]:
        """About angles and axis, and the line integrals of some views."""
        step = step_of(self.groups, self.bins)
        y, w = self._some_views(step)
        return self.of_views(self.sinogram(y if w is None else everywhere(y, w), step), shades)

    def noise(self) -> float | None:
        """By some views, along their bins."""
        y, w = self._some_views(step_of(self.groups, self.bins))
        return self.of_pixels(relative(of_lines(y, w), y, w))

    def _some_views(self, step: int) -> tuple[Array, Array | None]:
        """y of every ``step``-th view, finite or not, and its weights where there are any."""
        part = slice(0, self.groups, step), slice(0, self.bins)
        with open_hdf5(self.path) as file:
            y = np.asarray(file["measurements/y"][(*self.stack.leading, *part)], np.float32)
        return self.known(y, part), self._weights_of(y, part)

    def _weights_of(self, y: Array, part: Part) -> Array | None:
        """w of a part of an image's measurements, which are y."""
        if self.by_counts:
            return expected_counts(y)
        return None if self.weights is None else self.weights.read(self.stack.index, part)

    @property
    def weighting(self) -> str:
        """Where the weights of the measurements come from."""
        return "counts" if self.by_counts else super().weighting

    @property
    def one_W(self) -> bool:
        """Whether all images of a stack have the same weights."""
        return not self.by_counts and super().one_W

    def weights_of(self, views: range) -> Array | None:
        """w of some views, of any scale, as ``y``; None where there are none."""
        return expected_counts(self.y(views)) if self.by_counts else super().weights_of(views)

    def filtered(self, views: range) -> Array:
        """What ``backproject`` makes a filtered backprojection of; as ``y``.

        Views without a weight are left out, single bins without one bridged.
        """
        if self.weights is None:
            return self.ramp_filtered(self.y(views), slice(views.start, views.stop))
        w = self.weights.read(self.stack.index, (slice(0, self.groups), slice(0, self.bins)))
        seen = np.asarray(w.max(axis=1) > 0)
        own = np.flatnonzero(seen[views.start : views.stop])
        out = np.zeros((len(views), self.bins), np.float32)
        if own.size:
            y = everywhere(self.y(views)[own], w[views.start + own])
            place = np.cumsum(seen)[views.start + own] - 1
            out[own] = replace(self, angles=self.angles[seen]).ramp_filtered(y, place)
        return out

    def ramp_filtered(self, y: Array, views: Rows | slice) -> Array:
        """The same of y of some views."""
        raise NotImplementedError

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
        some = slice(views.start, views.stop)
        with open_hdf5(self.path) as file:
            y = np.asarray(file["measurements/y"][(*self.stack.leading, some)], np.float32)
        y = self.known(y, (some, slice(0, self.bins)))
        place = f"/measurements/y: views {views.start} to {views.stop - 1}"
        finite(self.path, place, y, "" if self.weights else UNMEASURED)
        return y


def expected_counts(y: Array) -> Array:
    """exp(-y), float32: what a detector counts where y was measured, over what the beam has.

    The variance of y = -log(counts / beam) is 1 / counts where counts are Poisson-distributed
    (Sauer and Bouman, IEEE Trans. Signal Process. 41(2), 1993): this is its inverse, but for a
    factor. More than the beam is noise; fewer than exp(-50) photons are none.
    """
    return np.exp(-np.clip(y, 0, LARGEST), dtype=np.float32)


def everywhere(y: Array, w: Array) -> Array:
    """y [views, bins], what has no weight interpolated along the bins; views of none from others.

    Those are as the nearest view, in the order of y, that was seen.
    """
    if (w > 0).all():
        return y
    bins, out = np.arange(y.shape[1]), y.copy()
    seen = np.flatnonzero((w > 0).any(axis=1))
    for view in seen:
        known = w[view] > 0
        out[view] = np.interp(bins, bins[known], y[view, known])
    if seen.size:
        nearest = np.abs(np.arange(len(y))[:, None] - seen).argmin(axis=1)
        out = out[seen[nearest]]
    return out


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
