"""Tomography in TIFF files: a stack of projections, and stacks of white and dark fields.

The problem is the stack of projections; --white and --dark are stacks too, or single files;
--angles is a file of degrees or START:STOP.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from asyncred.files.problem.angles import check_finite_angles, read_angles_asked
from asyncred.files.problem.correction import Detector
from asyncred.files.problem.counts import Counts, largest_count
from asyncred.files.problem.frames import chosen_views
from asyncred.files.problem.head import Asked
from asyncred.files.problem.kinds import CoupledData
from asyncred.files.problem.raw_tomography import read_raw_tomography
from asyncred.files.problem.tiff import TiffFrames, read_stack_of_tiff


@dataclass(frozen=True)
class TiffCounts(Counts):
    """Counts whose frames find their files themselves."""

    def opened(self) -> AbstractContextManager[Any]:
        """Nothing."""
        return nullcontext()


def read_tiff_scan(path: Path, asked: Asked) -> CoupledData:
    """Find all frames and angles. Raises ValueError."""
    places = asked.places
    for flag, told in (("data", places.data), ("image-key", places.image_key)):
        if told is not None:
            raise ValueError(f"{path}: --{flag} is {told}, expected none, which HDF5 files have")
    projections = read_stack_of_tiff(path, "projections")
    views = projections.numbers
    if places.angles is None:
        raise ValueError(
            f"{path}: {views.size} TIFF frames and no angles, expected --angles FILE, or "
            "--angles START:STOP in degrees"
        )
    angles, note = read_angles_asked(path, None, places.angles, views.size, views)
    chosen = chosen_views(path, views.size, asked.views)
    angles = angles[chosen]
    check_finite_angles(path, places.angles, angles, chosen)
    white, dark = (
        _fields(told, name, projections)
        for told, name in ((places.white, "white"), (places.dark, "dark"))
    )
    notes = list(note)
    if white is None:
        notes.append("no white field (--white): frames taken to be transmissions")
    elif dark is None:
        notes.append("no dark field (--dark): taken to be 0")
    packed = sum(one.compressed for one in (projections, white, dark) if one is not None)
    if packed:
        notes.append(f"{packed} TIFF frames are compressed: each slice unpacks all of them")
    counts = TiffCounts(
        path,
        (chosen.size, *projections.shape),
        replace(projections, numbers=chosen),
        white,
        dark,
        chosen,
        largest_count(projections.dtype),
        Detector(asked.corrections),
    )
    return read_raw_tomography(counts, angles, asked, notes)


def _fields(told: str | None, name: str, projections: TiffFrames) -> TiffFrames | None:
    """White or dark fields, of the detector's shape."""
    if told is None:
        return None
    if not Path(told).exists() and not np.any([mark in told for mark in "*?["]):
        raise ValueError(f"--{name} is {told}, expected a folder of TIFF files, or such a file")
    found = read_stack_of_tiff(Path(told), name)
    if found.shape != projections.shape:
        raise ValueError(
            f"{told}: frames {list(found.shape)}, expected {list(projections.shape)} (rows and "
            "columns of the projections)"
        )
    return found
