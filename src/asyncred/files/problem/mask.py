"""mask in a problem file: inpainting, pixels of the image that were measured and others not.

/operator        attrs kind = "mask"
  mask           bool, or uint8 of 0 and 1, [H, W]: where x was measured
/measurements/y  float32 [H, W], or [T, H, W]: x there; elsewhere anything, NaN too
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import finite, node, picture
from asyncred.files.problem.head import Asked, read_stack, write_head
from asyncred.files.problem.kinds import Anchoring, LocalData
from asyncred.files.problem.noise_estimate import middle, of_pixels, relative
from asyncred.files.problem.plausible import (
    PARTS,
    VALUES,
    Shades,
    of_level,
    of_values,
    said,
    spread,
)
from asyncred.files.problem.weights import Part, Weights
from asyncred.files.whole import open_hdf5, written_whole
from asyncred.grid import BlockGrid
from asyncred.operators import Image, Mask

if TYPE_CHECKING:
    from typing_extensions import Self

INVERTED = 0.001, 0.01
"""Shares of the pixels that hold a number other than 0: of those called measured no more than the
first, of the others more than the second, where a mask is inverted."""


@dataclass(frozen=True)
class MaskData(LocalData):
    """What a file holds of M and y, read by block."""

    pixels: int
    """How many were measured."""
    most: int
    """How many of one block, at most."""

    anchoring = Anchoring(momentum=0.8, rounds=0)  # no pixel sees another; many are seen by none
    starts: ClassVar[Mapping[str, Callable[[Any, int], Image]]] = {
        "interpolated": Mask.interpolated,
        "adjoint": Mask.adjoint,
    }

    def weighed(self, weights: Weights) -> Self:
        """The same with weights, of which pixels of weight 0 are none. Raises ValueError."""
        data = super().weighed(weights)
        if weights.each:
            return data
        counts = [int(data.mask(i).sum()) for i in range(len(self.grid))]
        return replace(data, pixels=sum(counts), most=max(counts))

    @property
    def groups(self) -> int:
        """How many pixels of a block were measured, at most."""
        return self.most

    @property
    def words(self) -> str:
        """How much was measured."""
        return f"{self.pixels} of {math.prod(self.grid.shape)} pixels measured"

    def bytes_of(self, blocks: int) -> int:
        """Memory of x_i, M_i and, with their places, the measured pixels of some full blocks."""
        n = math.prod(self.grid.block_shape)
        return blocks * (4 * n + n + 12 * min(self.most, n))

    def check(self) -> None:
        """Read all that can be wrong. Raises ValueError."""
        for i in range(len(self.grid)):
            self.y(i)

    def doubts(self, shades: Shades | None) -> tuple[str, ...]:
        """About the measured pixels of some blocks, and whether the others are those."""
        parts = [self._pixels(i) for i in spread(len(self.grid), PARTS)]
        measured, others = (np.concatenate(part) for part in zip(*parts, strict=True))
        held = [
            float(((y != 0) & np.isfinite(y)).mean()) if y.size else 0.0 for y in (measured, others)
        ]
        if held[0] <= INVERTED[0] and held[1] > INVERTED[1]:
            return (
                f"/operator/mask: of the pixels that it calls measured {100 * held[0]:.3g} % hold "
                f"a number other than 0, of the others {100 * held[1]:.3g} %, expected the "
                "reverse: 1 is for what was measured; invert it",
            )
        blank = of_values(measured, "/measurements/y where it was measured")
        return said(blank or of_level(measured, shades))

    def noise(self) -> float | None:
        """By the measured ones of the pixels in the middle."""
        part = middle(self.grid.shape)
        with open_hdf5(self.path) as file:
            mask = np.asarray(file["operator/mask"][part], np.bool_)
            y = np.asarray(file["measurements/y"][(*self.stack.leading, *part)], np.float32)
        if self.weights is None:
            return relative(of_pixels(y, mask), y[mask])
        w = self.weights.read(self.stack.index, part)
        return relative(of_pixels(y, mask & (w > 0), w), y[mask], w[mask])

    def _pixels(self, i: int) -> tuple[Image, Image]:
        """y of block i where it was measured, and elsewhere; some of each, finite or not."""
        mask = self.mask(i)
        with open_hdf5(self.path) as file:
            where = (*self.stack.leading, *self.grid.block(i))
            y = np.asarray(file["measurements/y"][where], np.float32)
        measured, others = y[mask], y[~mask]
        step = max(1, y.size * PARTS // VALUES)
        return measured[::step], others[::step]

    def mask(self, i: int) -> NDArray[np.bool_]:
        """M_i, bool [h, w], without what has the weight 0. Raises ValueError."""
        mask = self._mask(i)
        if self.weights is not None:
            mask &= self.weights.read(self.stack.index, self.part(i)) > 0
        return mask

    def part(self, i: int) -> Part:
        """The pixels of block i."""
        return self.grid.block(i)

    def measured_weights(self, i: int) -> NDArray[np.float32]:
        """w of the measured pixels of block i."""
        return super().measured_weights(i)[self._mask(i)]

    def _mask(self, i: int) -> NDArray[np.bool_]:
        with open_hdf5(self.path) as file:
            return _mask_of(self.path, file, self.grid, i)

    def y(self, i: int) -> Image:
        """y_i, float32 [h, w]. Raises ValueError where it is NaN or Inf and was measured."""
        with open_hdf5(self.path) as file:
            where = (*self.stack.leading, *self.grid.block(i))
            y = np.asarray(file["measurements/y"][where], np.float32)
        measured = y[self.mask(i)]
        inverted = measured.size > 0 and not np.isfinite(measured).any()
        hint = " (is the mask inverted? it is 1 there)" if inverted else ""
        finite(self.path, f"/measurements/y: block {i}, where it was measured{hint},", measured)
        return y

    def operator(self, blocks: list[int], *, threads: int) -> Mask:
        """The data term of some blocks, on one thread."""
        return Mask(
            self.grid,
            {i: self.mask(i) for i in blocks},
            self.measured(blocks),
            self.weights_of(blocks),
        )

    def measured(self, blocks: list[int]) -> dict[int, Image]:
        """y_i of some blocks."""
        return {i: self.y(i) for i in blocks}


def read_mask(path: Path, file: h5py.File, grid: BlockGrid, asked: Asked) -> MaskData:
    """Check /operator and /measurements/y, and count. Raises ValueError."""
    mask = node(path, file, "operator/mask", h5py.Dataset)
    if mask.shape != grid.shape or mask.dtype not in (np.bool_, np.uint8):
        raise ValueError(
            f"{path}: /operator/mask is {mask.dtype} {list(mask.shape)}, expected bool or uint8 "
            f"{list(grid.shape)} (the image's shape)"
        )
    y = picture(path, file, grid.shape, "the image's shape")
    counts = [int(_mask_of(path, file, grid, i).sum()) for i in range(len(grid))]
    if not any(counts):
        raise ValueError(f"{path}: /operator/mask is 0 everywhere, expected measured pixels")
    return MaskData(path, grid, read_stack(path, y, 2, asked), sum(counts), max(counts))


def write_mask(
    path: Path,
    truth: Image,
    y: NDArray[np.float32],
    *,
    block: tuple[int, int],
    mask: NDArray[np.bool_],
) -> None:
    """Write a problem: truth and y float32 [H, W], mask bool [H, W]."""
    with written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        operator = write_head(file, BlockGrid(truth.shape, block), "mask")
        operator.create_dataset("mask", data=mask, compression="gzip")
        file["measurements/y"] = y
        file["truth"] = truth.astype(np.float32)


def _mask_of(path: Path, file: h5py.File, grid: BlockGrid, i: int) -> NDArray[np.bool_]:
    mask = np.asarray(file["operator/mask"][grid.block(i)])
    if mask.dtype != np.bool_ and mask.max() > 1:
        raise ValueError(f"{path}: /operator/mask: block {i} holds {mask.max()}, expected 0 and 1")
    return mask.astype(np.bool_)
