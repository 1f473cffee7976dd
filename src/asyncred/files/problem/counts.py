"""Counts of a detector in a foreign file: projections, white and dark fields, read slice by slice.

A slice is a row of the detector, in all views. Of any dataset only that row is read, as one
hyperslab for each run of frames that follow each other: memory does not grow with the slices. Of a
compressed dataset with a frame a chunk, HDF5 unpacks all frames for it, once a slice and rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.errors import BadImage
from asyncred.files.problem.band import retrieved
from asyncred.files.problem.correction import Correction, Detector, Row
from asyncred.files.problem.fields import finite, node
from asyncred.files.problem.flaws import PASSES
from asyncred.files.problem.frames import Screened
from asyncred.files.problem.rings import VIEWS
from asyncred.files.whole import open_hdf5

Array = NDArray[np.float32]

PROBED = 16
"""Views, spread evenly, in which a column is looked at to see whether it ever changes."""


@dataclass(frozen=True)
class Frames:
    """Some frames of a dataset [frames, rows, columns]."""

    name: str
    """Of the dataset, without the leading slash."""
    numbers: NDArray[np.int64]
    """Which frames, in ascending order."""

    def rows(self, file: h5py.File, rows: range, some: slice = slice(None)) -> Array:
        """Rows that follow each other, of some of the frames, float32 [rows, frames, columns]."""
        dataset, numbers = file[self.name], self.numbers[some]
        found = np.empty((len(rows), numbers.size, dataset.shape[2]), np.float32)
        done = 0
        for first, last in runs_of(numbers):
            part = dataset[first : last + 1, rows.start : rows.stop]
            found[:, done : done + len(part)] = part.swapaxes(0, 1)
            done += len(part)
        return found

    def only(self, good: NDArray[np.bool_]) -> Frames:
        """Those that are good."""
        return replace(self, numbers=self.numbers[good])


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
    views: NDArray[np.int64]
    """The number of each projection among all of the file's, for messages."""
    largest: float
    """The largest count of the data type."""
    detector: Detector = field(default_factory=Detector)

    def line_integrals(self, row: int, views: range) -> Array:
        """y of a slice, float32 [views, columns], corrected. Raises BadImage."""
        if not views:
            return np.empty((0, self.shape[2]), np.float32)
        if self.detector.corrections.phase is not None:
            return retrieved(self, row, views, self.detector.corrections.phase)
        correction, some = self.correction(row, views)
        return correction.slice(some).y

    def photons(self, row: int, views: range) -> Array:
        """Counts of a slice that its line integrals stand for, float32 [views, columns].

        0 in dead columns. Of transmissions these. Raises BadImage.
        """
        if not views:
            return np.empty((0, self.shape[2]), np.float32)
        correction, _ = self.correction(row, views)
        share = np.minimum(np.exp(-self.line_integrals(row, views)), 1)
        return np.asarray(np.where(correction.dead, 0, share * correction.light), np.float32)

    def correction(self, row: int, views: range) -> tuple[Correction, slice]:
        """That of a row, and which of the views that it knows are meant. Raises BadImage."""
        around, some = self.around(views)
        found = self.read(row, around)
        self.check_finite(row, found)
        return Correction(found, self.detector), some

    def around(self, views: range) -> tuple[range, slice]:
        """Some views and those next to them, and which of these they are."""
        first, end = max(0, views.start - PASSES), min(self.shape[0], views.stop + PASSES)
        return range(first, end), slice(views.start - first, views.stop - first)

    def read(self, row: int, views: range) -> Row:
        """Some views of a row as they are, and what else tells its flaws."""
        return self.read_rows(range(row, row + 1), views)[0]

    def read_rows(self, rows: range, views: range) -> list[Row]:
        """The same of rows that follow each other, read at once."""
        with self.opened() as file:
            return self._rows(file, rows, views)

    def read_all(self, rows: Sequence[int]) -> dict[int, Row]:
        """All views of some rows, in ascending order."""
        views, found = range(self.shape[0]), list[Row]()
        with self.opened() as file:
            for first, last in runs_of(np.asarray(rows)):
                found += self._rows(file, range(first, last + 1), views)
        return dict(zip(rows, found, strict=True))

    def _rows(self, file: Any, rows: range, views: range) -> list[Row]:
        count, rings = self.shape[0], self.detector.corrections.rings
        counts = self.projections.rows(file, rows, slice(views.start, views.stop))
        white, dark = (
            None if frames is None else frames.rows(file, rows)
            for frames in (self.white, None if self.white is None else self.dark)
        )
        steps = step_of(count, PROBED), step_of(count, VIEWS)
        if counts.shape[1] == count:
            probe, more = (counts[:, ::k] for k in steps)
        else:
            probe, more = (
                self.projections.rows(file, rows, slice(None, None, step))
                if wanted
                else counts[:, :0]
                for step, wanted in zip(steps, (True, rings), strict=True)
            )
        return [
            Row(
                self._place(row),
                counts[k],
                None if white is None else white[k],
                None if dark is None else dark[k],
                probe[k],
                more[k],
            )
            for k, row in enumerate(rows)
        ]

    def opened(self) -> AbstractContextManager[Any]:
        """What ``Frames.rows`` reads from."""
        return open_hdf5(self.path)

    def screened(self, row: int, found: Row, good: Screened) -> Row:
        """All views of a row that was read before frames without a measurement were left out."""
        counts = found.counts[good.views]
        white = None if found.white is None else found.white[good.white]
        dark = None if found.dark is None else found.dark[good.dark]
        steps = step_of(len(counts), PROBED), step_of(len(counts), VIEWS)
        return Row(self._place(row), counts, white, dark, *(counts[::k] for k in steps))

    def check_finite(self, row: int, found: Row) -> None:
        """Raise BadImage where counts of a row are NaN or Inf."""
        parts = (
            (self.projections, found.counts),
            (self.white, found.white),
            (self.dark, found.dark),
        )
        for frames, values in parts:
            if frames is not None and values is not None:
                try:
                    finite(self.path, f"/{frames.name}: row {row}", values)
                except ValueError as error:
                    raise BadImage(str(error)) from None

    def only(self, good: Screened) -> Counts:
        """The same scan without the frames that hold no measurement."""
        white = None if self.white is None else self.white.only(good.white)
        dark = None if self.dark is None or self.white is None else self.dark.only(good.dark)
        projections = self.projections.only(good.views)
        shape = (projections.numbers.size, *self.shape[1:])
        return replace(
            self,
            shape=shape,
            projections=projections,
            white=white,
            dark=dark,
            views=self.views[good.views],
        )

    def _place(self, row: int) -> str:
        return f"{self.path}: /{self.projections.name}: row {row}"


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


def runs_of(numbers: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The first and last of numbers in ascending order that follow each other."""
    if not numbers.size:
        return []
    ends = np.flatnonzero(np.diff(numbers) != 1)
    firsts, lasts = numbers[[0, *(ends + 1)]], numbers[[*ends, -1]]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def stack_of_frames(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset of real numbers [frames, rows, columns]. Raises ValueError."""
    data = node(path, file, name, h5py.Dataset)
    if data.ndim != 3 or data.dtype.kind not in "fiu" or data.size == 0:
        raise ValueError(
            f"{path}: /{name} is {data.dtype} {list(data.shape)}, "
            "expected numbers [frames, rows, columns]"
        )
    return data


def largest_count(dtype: np.dtype[Any]) -> float:
    """Of a data type; of a detector of 16 bits where that holds fractions."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 65535.0


def step_of(count: int, most: int) -> int:
    """One in how many views is looked at, so that about ``most`` are."""
    return max(1, count // most)
