"""Tomography in an HDF5 file of any layout, whose datasets the user names.

--data       counts [frames, rows, columns]
--angles     [frames], or [views] without the frames that are no projections; attr units (degrees);
             or what ``angles`` takes
--image-key  integers [frames]: 0 projection, 1 white (flat) field, 2 dark field; frames of any
             other key are left out; without it all frames are projections
--white      [k, rows, columns] or [rows, columns], the beam without object; without it those of
             key 1; without any, data has to hold transmissions
--dark       the same without beam, or those of key 2; 0 where there is none
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.angles import check_finite_angles, read_angles_asked
from asyncred.files.problem.correction import Detector
from asyncred.files.problem.counts import Array, Counts, Frames, largest_count, stack_of_frames
from asyncred.files.problem.fields import node
from asyncred.files.problem.frames import chosen_views
from asyncred.files.problem.head import Asked, Places
from asyncred.files.problem.kinds import CoupledData
from asyncred.files.problem.nxtomo import DARK, FLAT, PROJECTION, read_image_key
from asyncred.files.problem.raw_tomography import read_raw_tomography
from asyncred.files.problem.surmise import looks_like


@dataclass(frozen=True)
class Picture(Frames):
    """One frame, a dataset [rows, columns] of its own."""

    def rows(self, file: h5py.File, rows: range, some: slice = slice(None)) -> Array:
        """Rows that follow each other, float32 [rows, 1, columns]."""
        return np.asarray(file[self.name][rows.start : rows.stop], np.float32)[:, None]


def flags_of(places: Places) -> list[str]:
    """The flags that were given."""
    said = [one.name for one in fields(places) if getattr(places, one.name) is not None]
    return [f"--{name.replace('_', '-')}" for name in said]


def read_by_paths(path: Path, file: h5py.File, asked: Asked) -> CoupledData:
    """Check the datasets that are named. Raises ValueError."""
    places = asked.places
    if places.data is None or places.angles is None:
        raise ValueError(
            f"{path}: {' and '.join(flags_of(places))} given, expected --data and --angles with it"
            f"; {looks_like(file)}"
        )
    name = _full(path, file, "data", places.data)
    data, notes = stack_of_frames(path, file, name), []
    frames = len(data)
    key: NDArray[np.int64] = np.full(frames, PROJECTION)
    if places.image_key is not None:
        key = read_image_key(path, file, _full(path, file, "image-key", places.image_key), frames)
    views = np.flatnonzero(key == PROJECTION)
    if views.size == 0:
        raise ValueError(f"{path}: {places.image_key} has no 0, expected projections")
    angles, note = read_angles_asked(path, file, places.angles, frames, views)
    chosen = chosen_views(path, views.size, asked.views)
    angles, views = angles[chosen], views[chosen]
    check_finite_angles(path, places.angles, angles, views)
    white = _fields(path, file, "white", places.white, data, name, np.flatnonzero(key == FLAT))
    dark = _fields(path, file, "dark", places.dark, data, name, np.flatnonzero(key == DARK))
    if white is None:
        notes.append(f"no white field: /{name} taken to be transmissions")
    elif dark is None:
        notes.append("no dark field: taken to be 0")
    shape = (views.size, *data.shape[1:])
    counts = Counts(
        path,
        shape,
        Frames(name, views),
        white,
        dark,
        chosen,
        largest_count(data.dtype),
        Detector(asked.corrections),
    )
    return read_raw_tomography(counts, angles, asked, [*note, *notes])


def _full(path: Path, file: h5py.File, flag: str, told: str) -> str:
    """The name of a dataset without its leading slash. Raises ValueError where there is none."""
    name = told.strip("/")
    if not name or name not in file:
        raise ValueError(
            f"{path}: --{flag} is {told}, which is no dataset of it, expected one; "
            f"{looks_like(file)}"
        )
    return name


def _fields(
    path: Path,
    file: h5py.File,
    flag: str,
    told: str | None,
    data: h5py.Dataset,
    name: str,
    keyed: NDArray[np.int64],
) -> Frames | None:
    """White or dark fields: a dataset of their own, or the frames of ``name`` with their key."""
    if told is None:
        return Frames(name, keyed) if keyed.size else None
    own = _full(path, file, flag, told)
    found = node(path, file, own, h5py.Dataset)
    fits = found.ndim in (2, 3) and found.dtype.kind in "fiu" and found.size > 0
    if not fits or found.shape[-2:] != data.shape[1:]:
        raise ValueError(
            f"{path}: /{own} is {found.dtype} {list(found.shape)}, expected numbers "
            f"[k, {data.shape[1]}, {data.shape[2]}] or [{data.shape[1]}, {data.shape[2]}] (rows "
            f"and columns of /{name})"
        )
    return Picture(own, np.arange(1)) if found.ndim == 2 else Frames(own, np.arange(len(found)))
