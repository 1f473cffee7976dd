"""NXtomo files (the NeXus application definition of raw tomography) as they are.

An NXentry, or an NXsubentry of one, of any name, with definition = "NXtomo" and in it

instrument/detector/data        counts [frames, rows, columns]
instrument/detector/image_key   [frames]: 0 projection, 1 flat (white) field, 2 dark field; frames
                                of any other key are left out
sample/rotation_angle           [frames], attr units (degrees)

Groups are found by their NX_class where their name is another. x_rotation_axis_pixel_position is
not read: where its 0 is, the definition leaves open.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.correction import Detector
from asyncred.files.problem.counts import Counts, Frames, largest_count, stack_of_frames
from asyncred.files.problem.fields import node, string
from asyncred.files.problem.frames import chosen_views
from asyncred.files.problem.head import Asked
from asyncred.files.problem.kinds import CoupledData
from asyncred.files.problem.pixel_size import sized
from asyncred.files.problem.raw_tomography import read_angles, read_raw_tomography

PROJECTION, FLAT, DARK = 0, 1, 2


def is_nxtomo(file: h5py.File) -> bool:
    """Whether some entry says that it is one."""
    return bool(_entries(file))


def read_nxtomo(path: Path, file: h5py.File, asked: Asked) -> CoupledData:
    """Check the layout. Raises ValueError."""
    entries = _entries(file)
    if len(entries) > 1:
        raise ValueError(f"{path}: {' and '.join(entries)} are NXtomo, expected one of them")
    instrument = _child(file, entries[0], "NXinstrument", "instrument")
    detector = _child(file, instrument, "NXdetector", "detector")
    sample = _child(file, entries[0], "NXsample", "sample")
    name = f"{detector}/data"
    data = stack_of_frames(path, file, name)
    key = read_image_key(path, file, f"{detector}/image_key", len(data))
    views, white, dark = (np.flatnonzero(key == kind) for kind in (PROJECTION, FLAT, DARK))
    if views.size == 0:
        raise ValueError(f"{path}: /{detector}/image_key has no 0, expected projections")
    chosen = chosen_views(path, views.size, asked.views)
    views = views[chosen]
    rotation = node(path, file, f"{sample}/rotation_angle", h5py.Dataset)
    angles = read_angles(path, rotation, len(data), views)
    notes = []
    if white.size == 0:
        notes.append(f"no flat field: /{name} taken to be transmissions")
    elif dark.size == 0:
        notes.append("no dark field: taken to be 0")
    places = [f"{group}/x_pixel_size" for group in (sample, detector)]
    corrections, told = sized(asked.corrections, file, places)
    counts = Counts(
        path,
        (views.size, *data.shape[1:]),
        Frames(name, views),
        Frames(name, white) if white.size else None,
        Frames(name, dark) if dark.size else None,
        chosen,
        largest_count(data.dtype),
        Detector(corrections),
    )
    return read_raw_tomography(counts, angles, asked, [*notes, *told])


def read_image_key(path: Path, file: h5py.File, name: str, frames: int) -> NDArray[np.int64]:
    """What each frame is, [frames]. Raises ValueError."""
    key = node(path, file, name, h5py.Dataset)
    if key.shape != (frames,) or key.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: /{name} is {key.dtype} {list(key.shape)}, expected integers [{frames}], "
            "one for each frame"
        )
    return np.asarray(key[()], np.int64)


def _entries(file: h5py.File) -> list[str]:
    """The names of all entries and subentries that are NXtomo."""
    entries = [name for name in file if _class(file.get(name)) == "NXentry"]
    for entry in tuple(entries):
        children = (f"{entry}/{name}" for name in file[entry])
        entries += [name for name in children if _class(file.get(name)) == "NXsubentry"]
    return [name for name in entries if _definition(file[name]) == "NXtomo"]


def _child(file: h5py.File, parent: str, kind: str, usual: str) -> str:
    """The name of a group of a class: the usual one, or else the first of its class."""
    group = file.get(parent)
    if isinstance(group, h5py.Group) and usual not in group:
        for name in group:
            if _class(group.get(name)) == kind:
                return f"{parent}/{name}"
    return f"{parent}/{usual}"


def _class(found: object) -> str | None:
    return string(found, "NX_class") if isinstance(found, h5py.Group) else None


def _definition(entry: h5py.Group) -> str | None:
    found = entry.get("definition")
    if not isinstance(found, h5py.Dataset) or found.size != 1:
        return None
    value = np.asarray(found[()]).reshape(-1)[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
