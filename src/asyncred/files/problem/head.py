"""What all problem files have in common: format, image, truth and which image is meant.

/        attrs format = "asyncred-problem", version = 1
/image   attrs shape = [H, W]; optional block = [bh, bw], chosen from the ranks where it is
         missing, and range = [LOW, HIGH], the values of black and white (0, 1)
/truth   float32 or complex64 [H, W] or [T, H, W], optional
/measurements/weights  optional, of any kind (``weights``)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

import h5py

from asyncred.errors import InputError
from asyncred.files.problem.fields import node, pair, string
from asyncred.files.problem.phase import Propagation
from asyncred.grid import BlockGrid

FORMAT, VERSION = "asyncred-problem", 1
MIDDLE = "middle"
"""What ``Asked.center`` is for the middle of the detector."""

MOST_BLOCKS = 1 << 22
"""Of an image: each costs memory on every rank."""

SMALLEST_BLOCK, LARGEST_BLOCK = 16, 256
"""Sides of the blocks that are chosen for a file that says none."""


@dataclass(frozen=True)
class Places:
    """Where a scan of any layout has its parts: datasets of its file, or files."""

    data: str | None = None
    """Counts [frames, rows, columns]."""
    angles: str | None = None
    """[frames]; a dataset, a file, or START:STOP in degrees."""
    image_key: str | None = None
    """[frames]."""
    white: str | None = None
    dark: str | None = None

    @classmethod
    def of(cls, source: object) -> Places:
        """The attributes of the same names."""
        return cls(*(getattr(source, one.name) for one in fields(cls)))


@dataclass(frozen=True)
class Corrections:
    """Which flaws of a detector are corrected, besides those that leave no measurement."""

    zingers: bool = True
    """Single values far above their neighbours are replaced by the local median."""
    rings: bool = False
    """What a column adds to all views is taken off."""
    air: bool = False
    """The level of the beam is that of the air beside the object, view by view."""
    phase: Propagation | None = None
    """Attenuation is retrieved from intensities that show the phase."""

    @classmethod
    def of(cls, source: Any) -> Corrections:
        """What flags or parameters say. Raises InputError."""
        zingers, rings, air = (
            word == "auto" for word in (source.zingers, source.rings, source.air)
        )
        return cls(zingers, rings, air, _propagation(source))


@dataclass(frozen=True)
class Asked:
    """What the user says of a file besides its name."""

    images: tuple[int, int] | None = None
    """Of a stack, the first and the end, which is excluded; None for all."""
    ranks: int = 1
    """How many will share the blocks, where their size is left open."""
    block: int | tuple[int, int] | None = None
    """Side or sides of the blocks, where the file says none."""
    center: float | str | None = None
    """The bin, from 0, that sees the rotation axis, whatever the file says, or ``MIDDLE`` for that
    of the detector; of tomography."""
    size: int | None = None
    """Side of the image in pixels, where the file leaves it open."""
    noise_scan: Path | None = None
    """A file of noise of the coils; of MRI."""
    weights: str | None = None
    """Of the measurements: ``counts``, ``file`` or ``none``; None for the file's, if it has any."""
    places: Places = field(default_factory=Places)
    """Of tomography in a file of any layout."""
    views: tuple[tuple[int, int], ...] | None = None
    """Which projections of a foreign file, as ranges from the first to the end, which is excluded;
    None for all."""
    corrections: Corrections = Corrections()
    """Of counts in a foreign file."""
    follow_links: bool = False
    """Whether files outside the folder of the file may be read that it refers to."""

    @classmethod
    def of(cls, source: Any, *, ranks: int, block: int | tuple[int, int] | None) -> Asked:
        """What flags or parameters say, attributes of the same names."""
        return cls(
            source.images,
            ranks,
            block,
            center=source.center,
            size=source.size,
            noise_scan=source.noise_scan,
            weights=source.weights,
            places=Places.of(source),
            views=source.views,
            corrections=Corrections.of(source),
            follow_links=source.follow_links,
        )


@dataclass(frozen=True)
class Stack:
    """The leading axis of images in a dataset, and the image that is meant."""

    images: int | None
    """T; None where there is no such axis."""
    index: int
    chosen: range
    """All images that are asked for."""

    @property
    def leading(self) -> tuple[int, ...]:
        """What to index a dataset with first."""
        return () if self.images is None else (self.index,)


def _propagation(source: Any) -> Propagation | None:
    """What phase retrieval needs to know, where it is asked for. Raises InputError."""
    told = {
        "--energy": source.energy,
        "--distance": source.distance,
        "--delta-beta": source.delta_beta,
        "--pixel-size": source.pixel_size,
    }
    given = [flag for flag, value in told.items() if value is not None]
    missing = [flag for flag in list(told)[:3] if flag not in given]
    if source.phase == "none":
        if given:
            raise InputError(f"{', '.join(given)}: of --phase paganin, expected it too")
        return None
    if missing:
        raise InputError(f"--phase paganin: expected {', '.join(missing)} too")
    return Propagation(*told.values())


def read_stack(path: Path, y: h5py.Dataset, ndim: int, asked: Asked) -> Stack:
    """Which images of y are meant, whose axes are ``ndim`` without one of images.

    Raises ValueError where there are not so many.
    """
    return choose(path, y.shape[0] if y.ndim > ndim else None, asked)


def choose(path: Path, images: int | None, asked: Asked) -> Stack:
    """The images asked for out of so many (None: no such axis). Raises ValueError."""
    count = 1 if images is None else images
    first, end = (0, count) if asked.images is None else asked.images
    if not 0 <= first < end <= count:
        raise ValueError(f"{path}: --images is {first}:{end}, expected a part of 0:{count}")
    return Stack(images, first, range(first, end))


def block_for(shape: tuple[int, int], asked: Asked) -> tuple[int, int]:
    """Blocks for an image whose file says none: several a rank, none of them huge, all alike.

    A small remainder of a side is updated many times while a rank is at a whole block.
    """
    height, width = shape
    if isinstance(asked.block, tuple):
        return asked.block
    if asked.block is not None:
        return min(asked.block, height), min(asked.block, width)
    side = min(max(shape), LARGEST_BLOCK)
    while side > SMALLEST_BLOCK and -(-height // side) * -(-width // side) < max(
        4, 2 * asked.ranks
    ):
        side = -(-side * 3 // 4)
    rows, columns = (-(-n // -(-n // side)) for n in shape)
    return rows, columns


def read_grid(path: Path, file: h5py.File, asked: Asked) -> BlockGrid:
    """Check the format and read the grid. Raises ValueError."""
    found = string(file, "format"), file.attrs.get("version")
    if found != (FORMAT, VERSION):
        raise ValueError(
            f"{path}: attributes format, version are {found[0]!r}, {found[1]}, "
            f"expected {FORMAT!r}, {VERSION}"
        )
    shape = pair(path, file, "image", "shape")
    block = block_for(shape, asked)
    if asked.block is None and "block" in file["image"].attrs:
        block = pair(path, file, "image", "block")
    if any(not 1 <= b <= s for s, b in zip(shape, block, strict=True)):
        raise ValueError(
            f"{path}: /image block is {list(block)}, expected 1 to {list(shape)} (the shape)"
        )
    if math.prod(-(-s // b) for s, b in zip(shape, block, strict=True)) > MOST_BLOCKS:
        raise ValueError(
            f"{path}: /image shape is {list(shape)} in blocks of {list(block)}, expected at most "
            f"{MOST_BLOCKS} blocks"
        )
    return BlockGrid(shape, block)


def read_range(path: Path, file: h5py.File) -> tuple[float, float]:
    """The values of black and white; 0 and 1 where the file says none. Raises ValueError."""
    found = np.atleast_1d(file["image"].attrs.get("range", (0.0, 1.0)))
    fits = found.shape == (2,) and found.dtype.kind in "fiu" and np.isfinite(found).all()
    if not fits or not found[0] < found[1]:
        raise ValueError(f"{path}: /image range is {found.tolist()}, expected [LOW, HIGH]")
    return float(found[0]), float(found[1])


def write_head(file: h5py.File, grid: BlockGrid, kind: str) -> h5py.Group:
    """Write format and grid; the new group /operator."""
    file.attrs.update({"format": FORMAT, "version": VERSION})
    file.create_group("image").attrs.update({"shape": grid.shape, "block": grid.block_shape})
    operator = file.create_group("operator")
    operator.attrs["kind"] = kind
    return operator


def has_truth(
    path: Path,
    file: h5py.File,
    shape: tuple[int, int],
    images: int | None,
    dtype: type[np.generic],
) -> bool:
    """Whether the truth is known. Raises ValueError where it is of another shape."""
    if "truth" not in file:
        return False
    truth = node(path, file, "truth", h5py.Dataset)
    expected = [shape] if images is None else [(images, *shape)]
    if truth.shape not in [*expected, *([(1, *shape)] if images is None else [])]:
        raise ValueError(f"{path}: /truth is {list(truth.shape)}, expected {list(expected[0])}")
    if truth.dtype.kind not in ("fiuc" if np.dtype(dtype).kind == "c" else "fiu"):
        raise ValueError(f"{path}: /truth is {truth.dtype}, expected {np.dtype(dtype)}")
    return True
