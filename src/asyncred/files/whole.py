"""Files that appear whole or not at all, or whose datasets are filled in place; HDF5 files opened.

HDF5 asks of a dataset only its shape to know where its bytes will lie. A file all of whose datasets
have their place can be filled with plain writes: its structure never changes, so it can be read at
any moment, and whenever the writer dies; and any process can write its own part.
"""

from __future__ import annotations

import errno
import math
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.digest import digest
from asyncred.files.filters import File
from asyncred.files.memory import MemoryFile
from asyncred.grid import Region

if TYPE_CHECKING:
    from typing_extensions import Self


PIECE = 1 << 24
"""Bytes that are read at once."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; renamed onto it once complete and on disk."""
    temporary = partial(path)
    created(temporary, path)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        renamed(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def partial(path: Path) -> Path:
    """A name beside ``path`` that nobody can guess, for what is not complete yet."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")


def created(temporary: Path, path: Path) -> None:
    """Make a new empty file with the permissions of ``path``, where that is there.

    Raises OSError where there is a file or link of this name.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, 0o666)
    try:
        if path.exists():
            os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
    finally:
        os.close(descriptor)


def clear_partial(path: Path) -> None:
    """Remove what writers of ``path`` that were killed have left half done."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.part")
    with suppress(OSError):  # where the folder is gone, or no longer the user's
        for found in path.parent.iterdir():
            if pattern.fullmatch(found.name):
                found.unlink(missing_ok=True)


def check_space(path: Path, size: int) -> None:
    """Raise OSError unless the file system of a file has room for so many bytes."""
    found = os.statvfs(path.parent)
    free = found.f_bavail * found.f_frsize
    if free < size:
        raise OSError(
            errno.ENOSPC,
            f"{path.parent} has {free / 1e6:.1f} MB left, expected {size / 1e6:.1f} MB",
        )


def allocate(path: Path) -> None:
    """Have the file system set aside all bytes of a file, where it can. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        _allocate(descriptor)
    finally:
        os.close(descriptor)


def _allocate(descriptor: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, os.fstat(descriptor).st_size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


class Reserved:
    """Space of a file system, set aside for what ``path`` will hold, until it is released.

    By a file without a name, which goes with its process, however that ends.
    """

    def __init__(self, path: Path, size: int) -> None:
        check_space(path, size)
        place = partial(path)
        created(place, path)
        self._file = os.open(place, os.O_RDWR | os.O_NOFOLLOW)
        place.unlink()
        try:
            os.ftruncate(self._file, size)
            _allocate(self._file)
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Give it back."""
        os.close(self._file)


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
    if path.is_symlink():
        raise ValueError(
            f"{path}: is a symbolic link to {path.readlink()}, which would be replaced: "
            "expected a regular file, or a new name"
        )
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path}: is no regular file, expected one, or a new name")
        if path.exists() and not overwrite:
            raise ValueError(f"{path}: exists; --overwrite replaces it")
        probe = partial(path)
        created(probe, path)
        probe.unlink()
    except OSError as error:
        raise ValueError(f"{path}: cannot be written: {error.strerror}") from None


def open_hdf5(path: Path) -> File:
    """Open for reading only. Raises ValueError where it is missing or no HDF5 file."""
    if isinstance(path, MemoryFile):
        return File(path.open(), "r")
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    if not path.is_file():
        raise ValueError(f"{path}: not an HDF5 file, nor any regular file")
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
        self._file = os.open(path, os.O_RDWR)

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

    def digest(self, name: str, row: int) -> str:
        """The digest of a row of a dataset, as it is in the file."""
        offset, dtype, shape = self._places[name]
        size = math.prod(shape[1:]) * dtype.itemsize
        starts = range(0, size, PIECE)
        return digest(
            *(
                os.pread(self._file, min(PIECE, size - start), offset + row * size + start)
                for start in starts
            )
        )

    def sync(self) -> None:
        """Wait until all is on disk."""
        os.fsync(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        os.close(self._file)
