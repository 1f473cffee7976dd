"""What all problem files have in common: format, image, truth and which image is meant.

/        attrs format = "asyncred-problem", version = 1
/image   attrs shape = [H, W], block = [bh, bw]
/truth   float32 [H, W] or [T, H, W], optional
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py

from asyncred.grid import BlockGrid
from asyncred.problem.fields import node, pair, string

FORMAT, VERSION = "asyncred-problem", 1


@dataclass(frozen=True)
class Stack:
    """The leading axis of images in a dataset, and the image that is meant."""

    images: int | None
    """T; None where there is no such axis."""
    index: int

    @property
    def leading(self) -> tuple[int, ...]:
        """What to index a dataset with first."""
        return () if self.images is None else (self.index,)


def read_stack(path: Path, y: h5py.Dataset, ndim: int, index: int | None) -> Stack:
    """Which image of y is meant, whose axes are ``ndim`` without one of images.

    Raises ValueError where ``index`` is missing or too large.
    """
    images = y.shape[0] if y.ndim > ndim else None
    if images in (None, 1) and index is None:
        return Stack(images, 0)
    if index is None:
        raise ValueError(f"{path}: {y.name} holds {images} images; --index K picks one")
    if not 0 <= index < (images or 1):
        raise ValueError(f"{path}: --index is {index}, expected 0 to {(images or 1) - 1}")
    return Stack(images, index)


def read_grid(path: Path, file: h5py.File) -> BlockGrid:
    """Check the format and read the grid. Raises ValueError."""
    found = string(file, "format"), file.attrs.get("version")
    if found != (FORMAT, VERSION):
        raise ValueError(
            f"{path}: attributes format, version are {found[0]!r}, {found[1]}, "
            f"expected {FORMAT!r}, {VERSION}"
        )
    shape = pair(path, file, "image", "shape")
    block = pair(path, file, "image", "block")
    if any(not 1 <= b <= s for s, b in zip(shape, block, strict=True)):
        raise ValueError(
            f"{path}: /image block is {list(block)}, expected 1 to {list(shape)} (the shape)"
        )
    return BlockGrid(shape, block)


def write_head(file: h5py.File, grid: BlockGrid, kind: str) -> h5py.Group:
    """Write format and grid; the new group /operator."""
    file.attrs.update({"format": FORMAT, "version": VERSION})
    file.create_group("image").attrs.update({"shape": grid.shape, "block": grid.block_shape})
    operator = file.create_group("operator")
    operator.attrs["kind"] = kind
    return operator


def has_truth(path: Path, file: h5py.File, shape: tuple[int, int], images: int | None) -> bool:
    """Whether the truth is known. Raises ValueError where it is of another shape."""
    if "truth" not in file:
        return False
    truth = node(path, file, "truth", h5py.Dataset)
    expected = [shape] if images is None else [(images, *shape)]
    if truth.shape not in [*expected, *([(1, *shape)] if images is None else [])]:
        raise ValueError(f"{path}: /truth is {list(truth.shape)}, expected {list(expected[0])}")
    return True
