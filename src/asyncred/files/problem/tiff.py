"""Stacks of TIFF files: which files, where their frames lie, and rows of them.

A stack is a folder, a pattern such as scan/proj_*.tif, or a single file of many pages; files are in
the order of the numbers in their names. Of frames that are not compressed only the rows that are
needed are read; of others the whole frame is unpacked for each row.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.memory import MemoryFile
from asyncred.files.problem.counts import Array, Frames

SUFFIXES = (".tif", ".tiff")
PATTERN = re.compile(r"[*?[]")
"""What a name that stands for several files has in it."""

COMPRESSED = -1
"""In place of the offset of a frame that cannot be read by rows."""


@dataclass(frozen=True)
class Place:
    """Where a frame lies."""

    file: Path
    page: int
    offset: int
    """Bytes from the beginning of the file, or ``COMPRESSED``."""


@dataclass(frozen=True)
class TiffFrames(Frames):
    """Some frames of a stack; ``numbers`` counts them in its order."""

    places: tuple[Place, ...]
    """Of all frames of the stack."""
    shape: tuple[int, int]
    """Rows and columns."""
    dtype: np.dtype[Any]
    """As stored."""

    @property
    def compressed(self) -> int:
        """How many frames are unpacked for each row."""
        return sum(place.offset == COMPRESSED for place in self.places)

    def rows(self, file: h5py.File | None, rows: range, some: slice = slice(None)) -> Array:
        """Rows that follow each other, of some of the frames, float32 [rows, frames, columns].

        ``file`` is not needed. Raises ValueError where a file is gone or cut off.
        """
        numbers = self.numbers[some]
        found = np.empty((len(rows), numbers.size, self.shape[1]), np.float32)
        for k, number in enumerate(numbers):
            found[:, k] = self._rows(self.places[number], rows)
        return found

    def _rows(self, place: Place, rows: range) -> NDArray[Any]:
        if place.offset == COMPRESSED:
            with opened(place.file) as file:
                frame = unpacked(place.file, file.pages[place.page])
            return np.asarray(frame[rows.start : rows.stop])
        width = self.shape[1] * self.dtype.itemsize
        length = len(rows) * width
        try:
            with place.file.open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), length, place.offset + rows.start * width)
        except OSError as error:
            raise ValueError(f"{place.file}: cannot be read: {error.strerror}") from None
        if len(data) < length:
            row = rows.start + len(data) // width
            raise ValueError(f"{place.file}: ends within row {row}, expected all of the frame")
        return np.frombuffer(data, self.dtype).reshape(len(rows), -1)


def is_stack(path: Path) -> bool:
    """Whether a problem of this name is a stack of TIFF files."""
    if isinstance(path, MemoryFile):
        return False
    if path.is_dir():
        return True
    if path.exists():
        return path.suffix.lower() in SUFFIXES
    suffix = path.suffix.lower()
    return bool(PATTERN.search(str(path))) and (not suffix or suffix.startswith(SUFFIXES[0]))


def files_of(path: Path) -> list[Path]:
    """The files of a stack, in order; of anything else the file itself. Raises ValueError."""
    if not is_stack(path):
        return [path]
    if path.is_file():
        return [path]
    folder, pattern = (path, "*") if path.is_dir() else _parts(path)
    found = [one for one in folder.glob(pattern) if one.suffix.lower() in SUFFIXES]
    found = [one for one in found if one.is_file() and not one.name.startswith(".")]
    if not found:
        raise ValueError(f"{path}: no file ending in {' or '.join(SUFFIXES)}, expected frames")
    return sorted(found, key=_order)


def read_stack_of_tiff(path: Path, name: str) -> TiffFrames:
    """All frames of a stack, which messages call ``name``. Raises ValueError where they differ."""
    places: list[Place] = []
    first: tuple[Any, ...] | None = None
    for file in files_of(path):
        shape, dtype, found = _frames_of(file)
        first = first or (shape, dtype, file)
        if (shape, dtype) != first[:2]:
            raise ValueError(
                f"{file}: {dtype} {list(shape)}, expected {first[1]} {list(first[0])} as "
                f"{first[2].name} has"
            )
        places += found
    assert first is not None  # there is a file
    return TiffFrames(name, np.arange(len(places)), tuple(places), first[0], first[1])


def opened(path: Path) -> Any:
    """A TIFF file. Raises ValueError without tifffile, or where it is none."""
    try:
        import tifffile
    except ImportError:
        raise ValueError(
            f"{path}: TIFF, expected the package tifffile to read it: pip install 'asyncred[tiff]'"
        ) from None
    try:
        return tifffile.TiffFile(path)
    except (OSError, tifffile.TiffFileError) as error:
        raise ValueError(f"{path}: no TIFF file: {' '.join(str(error).split())}") from None


def unpacked(path: Path, page: Any) -> NDArray[Any]:
    """A page of a file, [rows, columns]. Raises ValueError where it cannot be had."""
    try:
        return np.asarray(page.asarray())
    except Exception as error:  # whatever a decoder of tifffile or imagecodecs raises
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path}: page {page.index} cannot be unpacked: {reason}; expected no compression, or "
            "one that tifffile knows, more with the package imagecodecs"
        ) from None


def _parts(path: Path) -> tuple[Path, str]:
    """The folder before the first part of a path that is a pattern, and the pattern."""
    parts = path.parts
    k = next(k for k, part in enumerate(parts) if PATTERN.search(part))
    return Path(*parts[:k]), str(Path(*parts[k:]))


def _order(path: Path) -> list[tuple[int, int, str]]:
    """What sorts names by the numbers in them: proj_9 before proj_10."""
    words = re.split(r"(\d+)", str(path))
    return [(0, int(word), "") if word.isdecimal() else (1, 0, word) for word in words]


def _frames_of(path: Path) -> tuple[tuple[int, int], np.dtype[Any], list[Place]]:
    """Shape, dtype as stored, and frames of a file. Raises ValueError."""
    with opened(path) as file:
        page = file.pages[0]
        shape, kind = tuple(page.shape), page.dtype
        if len(shape) != 2 or kind is None or kind.kind not in "fiu" or page.bitspersample % 8:
            raise ValueError(f"{path}: {kind} {list(shape)}, expected gray frames [rows, columns]")
        dtype = np.dtype(kind).newbyteorder(file.byteorder)
        size = int(np.prod(shape)) * dtype.itemsize
        count, offset = _run(file, shape)
        if count:
            places = [Place(path, 0, offset + k * size) for k in range(count)]
        else:
            for k, other in enumerate(file.pages):
                if tuple(other.shape) != shape or other.dtype != kind:
                    raise ValueError(
                        f"{path}: page {k} is {other.dtype} {list(other.shape)}, expected "
                        f"{kind} {list(shape)} as page 0"
                    )
            places = [
                Place(path, k, other.dataoffsets[0] if other.is_memmappable else COMPRESSED)
                for k, other in enumerate(file.pages)
            ]
        if places[0].offset == COMPRESSED:
            unpacked(path, page)
    stored = path.stat().st_size
    cut = [k for k, place in enumerate(places) if place.offset + size > stored and place.offset > 0]
    if cut:
        raise ValueError(
            f"{path}: has {stored} bytes and ends within page {cut[0]}, expected "
            f"{places[cut[0]].offset + size}: the copy is not whole"
        )
    return (shape[0], shape[1]), dtype, places


def _run(file: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """How many frames lie one after the other behind a single page, and where; 0 otherwise.

    ImageJ writes stacks of more than 4 GiB so.
    """
    if len(file.pages) > 1 or not (file.is_imagej or file.is_shaped):
        return 0, 0
    series = file.series[0]
    if series.ndim != 3 or tuple(series.shape[1:]) != shape or series.dataoffset is None:
        return 0, 0
    return int(series.shape[0]), int(series.dataoffset)
