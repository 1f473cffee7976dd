"""Results of parts of a stack, as the tasks of a job array write them, made one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py

from asyncred.files.result import ROWS
from asyncred.files.whole import check_writable, open_hdf5, reserve, written_whole

SHARED = ("input_sha256", "kind", "block")
"""What the parts of one stack have in common, below /entry/reconstruction."""


def merge(output: Path, parts: Sequence[Path], *, overwrite: bool) -> str:
    """Write one result with the images of all parts, in their order; what was done, in a line.

    Where two parts hold an image, the complete one counts, else that of more updates. What is said
    of the run is the first part's. Raises ValueError where a part is no result, or of another
    problem.
    """
    check_writable(output, overwrite=overwrite)
    rows = _rows(parts)
    with open_hdf5(parts[0]) as first, written_whole(output) as temporary:
        with h5py.File(temporary, "w") as merged:
            _lay_out(merged, first, parts, sorted(rows))
            for target, image in enumerate(sorted(rows)):
                path, row = rows[image]
                with open_hdf5(path) as part:
                    _copy_row(part["entry"], row, merged["entry"], target)
        with h5py.File(temporary) as merged:
            complete = int(merged["entry/complete"][:].sum())
    return f"wrote {output}: {len(rows)} images of {len(parts)} parts, {complete} complete"


def _rows(parts: Sequence[Path]) -> dict[int, tuple[Path, int]]:
    """Where each image is found. Raises ValueError."""
    found: dict[int, tuple[Path, int]] = {}
    best: dict[int, tuple[bool, int]] = {}
    known: dict[str, str] = {}
    for path in parts:
        with open_hdf5(path) as file:
            keys = ("entry/images", "entry/complete", "entry/data/data", "entry/updates/per_block")
            for key in (*keys, *(f"entry/reconstruction/{name}" for name in SHARED)):
                if key not in file:
                    raise ValueError(
                        f"{path}: /{key} is missing, expected a result of asyncred run"
                    )
            about = {key: str(file[f"entry/reconstruction/{key}"][()]) for key in SHARED}
            about["shape"] = str(file["entry/data/data"].shape[1:])
            known = known or about
            for key, value in about.items():
                if value != known[key]:
                    raise ValueError(
                        f"{path}: {key} is {value}, expected {known[key]} ({parts[0]})"
                    )
            flags, counts = file["entry/complete"][:], file["entry/updates/per_block"][:]
            for row, image in enumerate(file["entry/images"][:].tolist()):
                worth = bool(flags[row]), int(counts[row].sum())
                if worth >= best.get(image, (False, -1)):
                    found[image], best[image] = (path, row), worth
    return found


def _lay_out(
    merged: h5py.File, first: h5py.File, parts: Sequence[Path], images: Sequence[int]
) -> None:
    """All of the first part but its rows, for which there is room for those of all."""
    merged.attrs.update(first.attrs)
    widths = _widths(parts)

    def copy(name: str, node: h5py.HLObject) -> None:
        if isinstance(node, h5py.Group):
            merged.require_group(f"entry/{name}").attrs.update(node.attrs)
        elif name in ROWS:
            shape = (len(images), *widths[name])
            fill = node.fillvalue if node.dtype.kind in "fi" and len(shape) < 3 else None
            reserve(merged, f"entry/{name}", shape, node.dtype, fill)
        elif name.endswith("/z") or name == "images":
            merged[f"entry/{name}"] = images
        else:
            first.copy(node, merged, f"entry/{name}")
        if isinstance(node, h5py.Dataset):
            merged[f"entry/{name}"].attrs.update(node.attrs)

    merged.create_group("entry").attrs.update(first["entry"].attrs)
    first["entry"].visititems(copy)
    merged.create_group("exchange")["data"] = merged["entry/data/data"]


def _widths(parts: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    """The shape of a row of each dataset, the widest of all parts."""
    widths: dict[str, tuple[int, ...]] = {}
    for path in parts:
        with open_hdf5(path) as file:
            for name in (name for name in ROWS if name in file["entry"]):
                shape = file["entry"][name].shape[1:]
                widths[name] = tuple(map(max, shape, widths.get(name, shape)))
    return widths


def _copy_row(part: h5py.Group, row: int, merged: h5py.Group, target: int) -> None:
    for name in ROWS:
        if name in part and name in merged and part[name].size:
            values = part[name][row]
            where = tuple(slice(side) for side in values.shape)
            merged[name][(target, *where)] = values
