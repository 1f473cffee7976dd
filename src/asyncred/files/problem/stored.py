"""Whether the values of a dataset are there: for those that are not, HDF5 gives its fill value.

Sources of a virtual dataset may be gone or too short, raw data in files of their own too, and an
aborted writer leaves chunks out. What is looked at is what HDF5 keeps about a dataset, not its
values: it costs as much as opening every file involved once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.filters import check_filters
from asyncred.files.problem.links import beside, broken_link, folder_of

OPENED = 250
"""Sources of a virtual dataset that are opened, at most; that they exist is asked of all."""

NESTED = 8
"""Virtual datasets whose sources are virtual ones, at most."""

BLOCK = "%b"
"""Stands for a number in the names of the sources of a virtual dataset that grows."""


def check_stored(path: object, name: str, dataset: h5py.Dataset, depth: int = 0) -> None:
    """Raise ValueError unless all values of a dataset are there, as far as HDF5 tells.

    ``path`` and ``name`` are what the message calls file and dataset; it says what is missing.
    """
    if not dataset.size or dataset.id.get_offset() is not None:  # none, or one piece of the file
        return
    check_filters(path, dataset)
    created = dataset.id.get_create_plist()
    layout, where = created.get_layout(), f"{path}: {name}"
    if layout == h5py.h5d.VIRTUAL:
        _check_virtual(where, dataset, depth)
    elif created.get_external_count():
        _check_raw(where, dataset, created)
    elif layout == h5py.h5d.CHUNKED:
        _check_chunks(where, dataset)
    elif dataset.id.get_storage_size() == 0:
        raise ValueError(f"{where} was never written, expected values: the writer was aborted")


def _check_chunks(where: str, dataset: h5py.Dataset) -> None:
    grid = [-(-side // chunk) for side, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
    expected, found = math.prod(grid), dataset.id.get_num_chunks()
    if found >= expected:
        return
    missing = np.ones(grid, np.bool_)
    dataset.id.chunk_iter(lambda one: missing.__setitem__(_place(one, dataset.chunks), False))
    chunks = np.flatnonzero(missing.reshape(grid[0], -1).any(axis=1))
    rows = (chunks[:, None] * dataset.chunks[0] + np.arange(dataset.chunks[0])).reshape(-1)
    raise ValueError(
        f"{where}: {expected - found} of {expected} chunks were never written, of "
        f"{_frames(dataset, rows[rows < dataset.shape[0]])}; HDF5 would give {dataset.fillvalue} "
        "for them: expected all, from a writer that ended as it should, or a file with nothing but "
        "what was measured"
    )


def _place(one: h5py.h5d.StoreInfo, chunk: tuple[int, ...]) -> tuple[int, ...]:
    """Which chunk of the grid of chunks it is."""
    return tuple(start // side for start, side in zip(one.chunk_offset, chunk, strict=True))


def _check_raw(where: str, dataset: h5py.Dataset, created: h5py.h5p.PropDCID) -> None:
    """Files with raw data, which HDF5 looks for in the working directory."""
    holder, needed = dataset.file.filename, dataset.size * dataset.dtype.itemsize
    prefix = os.environ.get("HDF5_EXTFILE_PREFIX", "")
    folder = Path(prefix.replace("${ORIGIN}", str(folder_of(holder))))
    for k in range(created.get_external_count()):
        name, offset, size = created.get_external(k)
        file = folder / os.fsdecode(name)
        size = min(size, needed)
        there = file.stat().st_size - offset if file.is_file() else 0
        if there < size:
            what = f"has {there} bytes for it" if file.is_file() else "is missing"
            raise ValueError(
                f"{where}: its raw data are in the file {file}, which {what}: expected {size} "
                "bytes there, or in the folder that HDF5_EXTFILE_PREFIX says"
            )
        needed -= size


def _check_virtual(where: str, dataset: h5py.Dataset, depth: int) -> None:
    """Files and datasets that the values are taken from."""
    maps, holder = dataset.virtual_sources(), dataset.file.filename
    sources = list(named(dataset, maps))
    covered = np.zeros(dataset.shape[0] if dataset.ndim else 1, np.bool_)
    files = {name for name, *_ in sources}
    places = {name: _found(name, holder) for name in files}
    for name, _, frames, _ in sources:
        if places[name] is None:
            raise ValueError(
                f"{where} is virtual, and its source {name}, for {_frames(dataset, frames)}, is "
                f"missing: expected its {len(files)} source files in {folder_of(holder)}, or in "
                "the folder that HDF5_VDS_PREFIX says"
            )
        covered[frames] = True
    if not covered.all():
        raise ValueError(
            f"{where} is virtual, and {_frames(dataset, np.flatnonzero(~covered))} have no source: "
            "expected sources for all"
        )
    looked: set[tuple[str, str]] = set()
    for name, key, frames, extent in reversed(sources[:: -len(sources) // OPENED]):
        what = f"{where}: its source {name}, for {_frames(dataset, frames)}"
        data = _source(what, str(places[name]), key, extent)
        if (name, key) not in looked and depth < NESTED:
            check_stored(what, data.name, data, depth + 1)
        looked.add((name, key))


Source = tuple[str, str, NDArray[np.int64], tuple[int, ...] | int]
"""File, dataset, the frames that it is for, and how large it has to be: sides or values."""


def named(dataset: h5py.Dataset, maps: Iterable[h5py.h5d.VDSmap]) -> Iterator[Source]:
    """The sources, one for each number where a name stands for many."""
    length = dataset.shape[0] if dataset.ndim else 1
    for one in maps:
        target, source = one.vspace, one.src_space
        start, step, count, block = _along_frames(target, length)
        endless = _endless(target)
        extent: tuple[int, ...] | int = 0 if endless else target.get_select_npoints()
        if source.get_select_type() == h5py.h5s.SEL_HYPERSLABS and not (
            endless or _endless(source)
        ):
            extent = tuple(high + 1 for high in source.get_select_bounds()[1])
        starts = start + step * np.arange(count)
        frames = (starts[:, None] + np.arange(min(block, length))).reshape(-1)
        frames = frames[frames < length]
        if BLOCK in one.file_name + one.dset_name:
            for number, first in enumerate(starts):
                own = np.arange(first, min(first + block, length))
                yield *(part.replace(BLOCK, str(number)) for part in one[1:3]), own, 0
        else:
            yield one.file_name, one.dset_name, frames, extent


def _along_frames(space: h5py.h5s.SpaceID, length: int) -> tuple[int, int, int, int]:
    """Start, step, count and block of a selection along the first axis, as HDF5 means them."""
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS:
        return 0, length, 1, length
    if not space.is_regular_hyperslab():
        low, high = (side[0] for side in space.get_select_bounds())
        return low, length, 1, high - low + 1
    start, step, count, block = (side[0] for side in space.get_regular_hyperslab())
    return start, step, min(count, max(1, -(-(length - start) // max(1, step)))), block


def _endless(space: h5py.h5s.SpaceID) -> bool:
    """Whether a selection goes on without an end."""
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return False
    slab = space.get_regular_hyperslab()
    return any(number >= h5py.h5s.UNLIMITED for number in (*slab[2], *slab[3]))


def _found(name: str, holder: str) -> Path | None:
    return Path(holder) if name == "." else beside(name, holder, "HDF5_VDS_PREFIX")


def _source(what: str, file: str, key: str, extent: tuple[int, ...] | int) -> h5py.Dataset:
    """A source, as large as it has to be; its file is closed as it goes. Raises ValueError."""
    try:
        opened = h5py.File(file, "r")
    except OSError as error:
        raise ValueError(f"{what}, cannot be opened: {error}") from None
    data = opened.get(key)
    if not isinstance(data, h5py.Dataset):
        broken = broken_link(opened, key)
        raise ValueError(f"{what}, has no dataset {key}{f': {broken}' if broken else ''}")
    fits = data.size >= extent if isinstance(extent, int) else data.ndim == len(extent)
    if isinstance(extent, tuple):
        fits = fits and all(a >= b for a, b in zip(data.shape, extent, strict=True))
    if not fits:
        expected = f"{extent} values" if isinstance(extent, int) else list(extent)
        raise ValueError(f"{what}, has {list(data.shape)} in {key}, expected {expected}")
    return data


def _frames(dataset: h5py.Dataset, numbers: NDArray[np.int64]) -> str:
    """Numbers along the first axis, in words, a few of them."""
    nouns = ("frame", "frames") if dataset.ndim > 2 else ("entry", "entries")
    noun = nouns[numbers.size != 1]
    ends = np.flatnonzero(np.diff(numbers) != 1) + 1
    runs = [run for run in np.split(numbers, ends) if run.size]
    said = [str(run[0]) if run.size == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"{noun} {', '.join(said[:4])}{' ...' * (len(said) > 4)}"
