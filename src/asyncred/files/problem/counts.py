"""Counts of a detector in a foreign file: projections, white and dark fields, read slice by slice.

    y = -log((counts - dark) / (white - dark)),    dark and white the mean of their fields

A slice is a row of the detector, in all views. Of any dataset only that row is read, as one
hyperslab for each run of frames that follow each other: memory does not grow with the slices. Of a
compressed dataset with a frame a chunk, HDF5 unpacks all frames for it, once a slice and rank.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import finite, node
from asyncred.files.problem.flaws import bridged, stuck
from asyncred.files.whole import open_hdf5

Array = NDArray[np.float32]
Columns = NDArray[np.bool_]

LEAST = 1e-4
"""Transmissions below it are raised to it: -log of it is 9.2."""

PROBED = 16
"""Views, spread evenly, in which a column is looked at to see whether it ever changes."""


@dataclass(frozen=True)
class Frames:
    """Some frames of a dataset [frames, rows, columns]."""

    name: str
    """Of the dataset, without the leading slash."""
    numbers: NDArray[np.int64]
    """Which frames, in ascending order."""

    def row(self, file: h5py.File, row: int, some: slice = slice(None)) -> Array:
        """One row of some of the frames, float32 [frames, columns]."""
        dataset, numbers = file[self.name], self.numbers[some]
        ends = np.flatnonzero(np.diff(numbers) != 1) + 1
        runs = [run for run in np.split(numbers, ends) if run.size]
        parts = [np.asarray(dataset[run[0] : run[-1] + 1, row], np.float32) for run in runs]
        return np.concatenate([np.empty((0, dataset.shape[2]), np.float32), *parts])


@dataclass(frozen=True)
class Counts:
    """What a file holds of a scan."""

    path: Path
    shape: tuple[int, int, int]
    """Views, rows, columns."""
    projections: Frames
    white: Frames | None
    """None: the projections are transmissions already, whatever dark fields there are."""
    dark: Frames | None
    """None: 0."""

    def line_integrals(self, row: int, views: range) -> Array:
        """y of a slice, float32 [views, columns], dead columns bridged. Raises ValueError."""
        transmissions, dead = self.transmissions(row, views)
        return bridged(-np.log(np.maximum(transmissions, np.float32(LEAST))), dead)

    def photons(self, row: int, views: range) -> Array:
        """Counts of a slice less those in the dark, float32 [views, columns]; 0 in dead columns.

        Of light that no beam can have, at most the beam. Of transmissions these. Raises ValueError.
        """
        transmissions, dead = self.transmissions(row, views)
        with self.opened() as file:
            _, light = self._fields(file, row)
        share = np.clip(transmissions, np.float32(LEAST), np.float32(1))
        return np.asarray(np.where(dead, 0, share * light), np.float32)

    def transmissions(self, row: int, views: range) -> tuple[Array, Columns]:
        """A slice, float32 [views, columns], and which columns are dead.

        Those are dead that see no light in the white field, or are stuck. Raises ValueError on NaN
        or Inf, and where no column lives.
        """
        with self.opened() as file:
            dark, light = self._fields(file, row)
            counts = self.projections.row(file, row, slice(views.start, views.stop))
            step = max(1, self.shape[0] // PROBED)
            probe = self.projections.row(file, row, slice(None, None, step))
        what = f"/{self.projections.name}: row {row}, views {views.start} to {views.stop - 1}"
        finite(self.path, what, counts)
        lit = light > 0
        scale = np.where(lit, light, np.float32(1))
        dead = ~lit | stuck(np.asarray((probe - dark) / scale, np.float32))
        if dead.all():
            raise ValueError(
                f"{self.path}: /{self.projections.name}: row {row} has no column that works, "
                "expected white fields above dark ones, and counts that change"
            )
        return np.where(lit, (counts - dark) / scale, np.float32(1)), dead

    def opened(self) -> AbstractContextManager[Any]:
        """What ``Frames.row`` reads from."""
        return open_hdf5(self.path)

    def _fields(self, file: h5py.File, row: int) -> tuple[Array, Array]:
        """Dark, and white less dark, float32 [columns]."""
        zero, one = np.zeros(self.shape[2], np.float32), np.ones(self.shape[2], np.float32)
        if self.white is None:
            return zero, one
        dark = zero if self.dark is None else self._mean(file, self.dark, row)
        return dark, self._mean(file, self.white, row) - dark

    def _mean(self, file: h5py.File, frames: Frames, row: int) -> Array:
        fields = frames.row(file, row)
        finite(self.path, f"/{frames.name}: row {row}", fields)
        return np.asarray(fields.mean(axis=0, dtype=np.float64), np.float32)


class LastSlice:
    """y as it was read last, so that a slice is read once however often it is asked for."""

    def __init__(self) -> None:
        self._key: tuple[int, range] | None = None
        self._y: Array

    def get(self, counts: Counts, row: int, views: range) -> Array:
        """As ``Counts.line_integrals``; not to be written to."""
        if self._key != (row, views):
            self._y = counts.line_integrals(row, views)
            self._y.flags.writeable = False
            self._key = row, views
        return self._y


def stack_of_frames(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset of real numbers [frames, rows, columns]. Raises ValueError."""
    data = node(path, file, name, h5py.Dataset)
    if data.ndim != 3 or data.dtype.kind not in "fiu" or data.size == 0:
        raise ValueError(
            f"{path}: /{name} is {data.dtype} {list(data.shape)}, "
            "expected numbers [frames, rows, columns]"
        )
    return data
