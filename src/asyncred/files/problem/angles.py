"""Angles of a scan as the user says them: a dataset of its file, a file of its own, or a range.

/entry/rotation_angle   a dataset [frames] or [views], attr units (degrees)
angles.txt, angles.npy  a text file or an array of numbers, in degrees
START:STOP              degrees, evenly, both included
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import node, string
from asyncred.files.problem.frames import named
from asyncred.files.problem.raw_tomography import UNITLESS, Numbers, in_radians
from asyncred.files.problem.surmise import looks_like


def read_angles_asked(
    path: Path, file: h5py.File | None, told: str, frames: int, views: NDArray[np.int64]
) -> tuple[Numbers, tuple[str, ...]]:
    """Of the projections, radians [views], and notes; ``views`` are their numbers among the frames.

    ``file`` is where datasets are looked for, None for those that have none. Raises ValueError.
    """
    name, found = told.strip("/"), _range(told)
    if file is not None and name and name in file:
        data = node(path, file, name, h5py.Dataset)
        place, values = data.name, _numbers(path, data.name, np.asarray(data[()]))
        angles = in_radians(path, place, values, string(data, "units"))
    elif found is not None:
        angles = np.radians(np.linspace(*found, views.size))
        step = (found[1] - found[0]) / max(1, views.size - 1)
        note = (
            f"angles: {views.size} views from {found[0]:g} to {found[1]:g} degrees, both "
            f"included, {step:.6g} apart"
        )
        return angles, (note,)
    elif Path(told).is_file():
        place, values = told, _of_file(Path(told))
        if values.size > 2 and np.ptp(values) <= UNITLESS:
            raise ValueError(f"{told}: spans {np.ptp(values):.4g}, expected degrees")
        angles = np.radians(values)
    else:
        what = "a file, or START:STOP in degrees"
        if file is not None:
            what = f"a dataset of it, {what}; {looks_like(file)}"
        raise ValueError(f"{path}: --angles is {told}, expected {what}")
    if angles.size not in (frames, views.size):
        expected = str(frames) if frames == views.size else f"{frames} or {views.size}"
        what = "one for each frame" if frames == views.size else "for all frames, or projections"
        raise ValueError(f"{path}: {place} has {angles.size} angles, expected {expected}, {what}")
    return (angles[views] if angles.size == frames else angles), ()


def check_finite_angles(path: Path, told: str, angles: Numbers, views: NDArray[np.int64]) -> None:
    """Raise ValueError where angles of projections are NaN or Inf; those of others are not used."""
    lost = views[~np.isfinite(angles)]
    if lost.size:
        raise ValueError(
            f"{path}: --angles {told} is NaN or Inf in frames {named(lost)}, expected finite "
            "numbers in all projections: --views A:B leaves others out"
        )


def _range(told: str) -> tuple[float, float] | None:
    """START:STOP; None for anything else."""
    try:
        start, stop = map(float, told.split(":"))
    except ValueError:
        return None
    return (start, stop) if np.isfinite([start, stop]).all() and start != stop else None


def _numbers(path: object, name: str, values: NDArray[np.generic]) -> Numbers:
    if values.ndim != 1 or values.dtype.kind not in "fiu":
        raise ValueError(
            f"{path}: {name} is {values.dtype} {list(values.shape)}, expected angles, numbers "
            "[frames]"
        )
    return values.astype(np.float64)


def _of_file(path: Path) -> Numbers:
    """All numbers of a text file or an .npy file. Raises ValueError."""
    try:
        values = np.load(path) if path.suffix == ".npy" else np.loadtxt(path, delimiter=None)
    except (ValueError, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: {reason}, expected a number a line, in degrees") from None
    return _numbers(path, "its content", np.asarray(values).reshape(-1))
