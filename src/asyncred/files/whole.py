"""Files that appear whole or not at all, or whose datasets are filled in place; HDF5 files opened.

HDF5 asks of a dataset only its shape to know where its bytes will lie. A file all of whose datasets
have their place can be filled with plain writes: its structure never changes, so it can be read at
any moment, and whenever the writer dies; and any process can write its own part.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.filters import File
from asyncred.files.memory import MemoryFile
from asyncred.grid import Region

if TYPE_CHECKING:
    from typing_extensions import Self


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; renamed onto it once complete and on disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        renamed(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def renamed(temporary: Path, path: Path) -> None:
    """Give a complete file its name, on disk on return."""
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Raise ValueError unless ``path`` can be written; an existing file only with ``overwrite``."""
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected a file name")
    if path.exists() and not overwrite:
        raise ValueError(f"{path}: exists; --overwrite replaces it")
    probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(f"{path}: cannot be written: {error.strerror}") from None


def open_hdf5(path: Path) -> File:
    """Open for reading only. Raises ValueError where it is missing or no HDF5 file."""
    if isinstance(path, MemoryFile):
        return File(path.open(), "r")
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    if not h5py.is_hdf5(path):
        raise ValueError(f"{path}: not an HDF5 file")
    try:
        return File(path, "r")
    except OSError as error:
        raise ValueError(f"{path}: cannot be opened: {error}") from None


def reserve(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: Any, fill: object = None
) -> None:
    """A dataset whose bytes have their place in the file at once, for ``InPlace`` to write to.

    With no value to fill it with, nothing is written there: what the file system has is zeros.
    """
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    if fill is None:
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    else:
        creation.set_fill_value(np.array(fill, dtype))
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(np.dtype(dtype)), space, creation)


class InPlace:
    """Writes into the reserved datasets of a file; a context manager.

    Holds a file descriptor and no HDF5 file: readers may open it meanwhile. ``names`` are those of
    the datasets, those that are missing or empty left out.
    """

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        with open_hdf5(path) as file:
            found = {name: file[name] for name in names if name in file and file[name].size}
            self._places = {
                name: (node.id.get_offset(), node.dtype, node.shape) for name, node in found.items()
            }
        self._file = os.open(path, os.O_WRONLY)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a dataset."""
        shape: tuple[int, ...] = self._places[name][2]
        return shape

    def put(self, name: str, where: tuple[int, ...], values: NDArray[Any]) -> None:
        """Overwrite values of a dataset from an index on; their axes are its last ones.

        All but the first of these are written whole. Raises ValueError where they do not fit.
        """
        offset, dtype, shape = self._places[name]
        start = (*where, *(0,) * (len(shape) - len(where)))
        axis = len(shape) - values.ndim
        if values.ndim:
            room = (shape[axis] - start[axis], *shape[axis + 1 :])
            if len(values) > room[0] or values.shape[1:] != room[1:]:
                raise ValueError(f"/{name}: values {values.shape} at {where}, room for {room}")
        first = np.ravel_multi_index(start, shape)
        data = np.ascontiguousarray(values, dtype).tobytes()
        place = offset + int(first) * dtype.itemsize
        while data:
            written = os.pwrite(self._file, data, place)
            data, place = data[written:], place + written

    def put_region(self, name: str, lead: tuple[int, ...], region: Region, values: Any) -> None:
        """Overwrite a region of an image."""
        rows, cols = region
        for line, part in zip(range(rows.start, rows.stop), values, strict=True):
            self.put(name, (*lead, line, cols.start), part)

    def sync(self) -> None:
        """Wait until all is on disk."""
        os.fsync(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        os.close(self._file)
