"""Data Exchange files (De Carlo et al., J. Synchrotron Rad. 21, 2014) of tomography, as they are.

/exchange/data         counts [views, rows, columns]
/exchange/data_white   [k, rows, columns], the beam without object; without it data has to hold
                       transmissions
/exchange/data_dark    [k, rows, columns], no beam; 0 where it is missing
/exchange/theta        [views], attr units (degrees); where it is missing, evenly from 0 to 180
                       degrees, both included, as TomoPy takes them
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import h5py

from asyncred.files.problem.correction import Detector
from asyncred.files.problem.counts import Counts, Frames, largest_count, stack_of_frames
from asyncred.files.problem.fields import node, string
from asyncred.files.problem.frames import chosen_views
from asyncred.files.problem.head import Asked
from asyncred.files.problem.kinds import CoupledData
from asyncred.files.problem.pixel_size import RESOLUTION, sized
from asyncred.files.problem.raw_tomography import read_angles, read_raw_tomography

DATA, WHITE, DARK, THETA = (
    f"exchange/{name}" for name in ("data", "data_white", "data_dark", "theta")
)


def is_data_exchange(file: h5py.File) -> bool:
    """Whether there are data of a measurement, not of a reconstruction."""
    return DATA in file and "entry/reconstruction" not in file


def read_data_exchange(path: Path, file: h5py.File, asked: Asked) -> CoupledData:
    """Check the layout. Raises ValueError."""
    data, notes = stack_of_frames(path, file, DATA), []
    axes = (string(data, "axes") or "").split(":")
    if sorted(axes) == ["theta", "x", "y"] and axes != ["theta", "y", "x"]:
        raise ValueError(f"{path}: /{DATA} axes is {':'.join(axes)!r}, expected 'theta:y:x'")
    count = data.shape[0]
    views = chosen_views(path, count, asked.views)
    if THETA in file:
        angles = read_angles(path, node(path, file, THETA, h5py.Dataset), count, views)
    else:
        angles = np.linspace(0, np.pi, count)[views]
        notes.append(f"no /{THETA}: {count} views taken to go evenly from 0 to 180 degrees")
    white, dark = (_fields(path, file, name, data.shape) for name in (WHITE, DARK))
    if white is None:
        notes.append(f"no /{WHITE}: /{DATA} taken to be transmissions")
    elif dark is None:
        notes.append(f"no /{DARK}: taken to be 0")
    corrections, told = sized(asked.corrections, file, [RESOLUTION])
    counts = Counts(
        path,
        (views.size, *data.shape[1:]),
        Frames(DATA, views),
        white,
        dark,
        views,
        largest_count(data.dtype),
        Detector(corrections),
    )
    return read_raw_tomography(counts, angles, asked, [*notes, *told])


def _fields(path: Path, file: h5py.File, name: str, shape: tuple[int, ...]) -> Frames | None:
    """White or dark fields, of the detector's shape."""
    if name not in file:
        return None
    data = stack_of_frames(path, file, name)
    if data.shape[1:] != shape[1:]:
        raise ValueError(
            f"{path}: /{name} is {list(data.shape)}, expected [k, {shape[1]}, {shape[2]}] "
            f"(rows and columns of /{DATA})"
        )
    return Frames(name, np.arange(len(data)))
