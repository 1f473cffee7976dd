"""What convolution and superresolution have in common in a problem file: a kernel, y on a lattice.

    y = (k * x)[::factor, ::factor] + noise,    x 0 outside of the image

A rank reads of y what its blocks have a part in, and the kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import finite, node, reals
from asyncred.files.problem.head import write_head
from asyncred.files.problem.kinds import LocalData
from asyncred.files.whole import open_hdf5, written_whole
from asyncred.grid import BlockGrid, region_shape
from asyncred.operators import Image
from asyncred.operators.convolution import measured_region

Array = NDArray[np.float32]

BORDER_KINDS = 9
"""Blocks inside, at a side and in a corner of the image have windows of different shapes."""


@dataclass(frozen=True)
class BlurredData(LocalData):
    """What a file holds of k, and y by block."""

    kernel: Array
    """float32 [kh, kw], odd sides."""
    factor: int

    @property
    def radius(self) -> int:
        """How far a measurement looks, in pixels."""
        side: int = max(self.kernel.shape)
        return side // 2

    @property
    def groups(self) -> int:
        """How many measurements a block has a part in, at most."""
        return max(
            math.prod(region_shape(measured_region(self.grid, i, self.radius, self.factor)))
            for i in range(len(self.grid))
        )

    @property
    def words(self) -> str:
        """How much was measured."""
        height, width = measured_shape(self.grid, self.factor)
        kh, kw = self.kernel.shape
        return f"{height}x{width} measurements through a kernel of {kh}x{kw}"

    def bytes_of(self, blocks: int) -> int:
        """Memory of x_i, y_i and the kernel's transforms on the windows of some full blocks."""
        n = math.prod(self.grid.block_shape)
        grown = [
            math.prod(min(b + 2 * halo, side) for b, side in self._sides)
            for halo in (self.radius, 2 * self.radius)
        ]
        transforms = min(blocks, BORDER_KINDS) * sum(grown)
        return 4 * (blocks * (n + grown[0] // self.factor**2) + transforms)

    def check(self) -> None:
        """Read all that can be wrong. Raises ValueError."""
        for i in range(len(self.grid)):
            self.y(i)

    def y(self, i: int) -> Array:
        """y on the ``measured_region`` of block i, float32. Raises ValueError on NaN or Inf."""
        region = measured_region(self.grid, i, self.radius, self.factor)
        with open_hdf5(self.path) as file:
            where = (*self.stack.leading, *region)
            y = np.asarray(file["measurements/y"][where], np.float32)
        finite(self.path, f"/measurements/y: block {i} and what surrounds it", y)
        return y

    def measured(self, blocks: list[int]) -> dict[int, Array]:
        """``y`` of some blocks."""
        return {i: self.y(i) for i in blocks}

    @property
    def _sides(self) -> list[tuple[int, int]]:
        """Of a block and of the image, by axis."""
        return list(zip(self.grid.block_shape, self.grid.shape, strict=True))


def measured_shape(grid: BlockGrid, factor: int) -> tuple[int, int]:
    """Height and width of y."""
    height, width = grid.shape
    return -(-height // factor), -(-width // factor)


def read_kernel(path: Path, file: h5py.File) -> Array:
    """k, float32 [kh, kw]. Raises ValueError unless both sides are odd and all is finite."""
    dataset = node(path, file, "operator/kernel", h5py.Dataset)
    kernel = reals(path, dataset, 2, "numbers [kh, kw]")
    if any(side % 2 == 0 for side in kernel.shape):
        raise ValueError(
            f"{path}: /operator/kernel is {dataset.dtype} {list(kernel.shape)}, expected odd sides"
        )
    return np.asarray(kernel, np.float32)


def write_blurred(
    path: Path,
    truth: Image,
    y: Array,
    *,
    kind: str,
    block: tuple[int, int],
    kernel: Array,
    factor: int,
) -> None:
    """Write a problem: truth float32 [H, W], y and kernel as the kind's module says."""
    with written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        operator = write_head(file, BlockGrid(truth.shape, block), kind)
        operator["kernel"] = kernel
        if factor > 1:
            operator.attrs["factor"] = factor
        file["measurements/y"] = y
        file["truth"] = truth.astype(np.float32)
