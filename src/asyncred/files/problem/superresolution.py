"""superresolution in a problem file: a blurred image, measured on a coarser lattice.

/operator        attrs kind = "superresolution", factor = f
  kernel         float32 [kh, kw], odd sides; k[kh // 2, kw // 2] is its middle
/measurements/y  float32 [ceil(H / f), ceil(W / f)], or this with a leading axis T: every f-th
                 pixel of k * x both ways, from pixel 0 on, x being 0 outside of the image

The sides of the blocks are multiples of f, unless one block takes the whole side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.blurred import BlurredData, measured_shape, read_kernel, write_blurred
from asyncred.files.problem.fields import integer, picture
from asyncred.files.problem.head import Asked, read_stack
from asyncred.grid import BlockGrid
from asyncred.operators import Image, Superresolution
from asyncred.operators.superresolution import divides


@dataclass(frozen=True)
class SuperresolutionData(BlurredData):
    """What a file holds of k, and y by block."""

    starts: ClassVar[Mapping[str, Callable[[Any, int], Image]]] = {
        "interpolated": Superresolution.interpolated,
        "adjoint": Superresolution.adjoint,
    }

    def operator(self, blocks: list[int], *, threads: int) -> Superresolution:
        """The data term of some blocks, on one thread."""
        return Superresolution(
            self.grid, self.kernel, self.factor, self.measured(blocks), self.weights_of(blocks)
        )


def read_superresolution(
    path: Path, file: h5py.File, grid: BlockGrid, asked: Asked
) -> SuperresolutionData:
    """Check /operator, the blocks and /measurements/y. Raises ValueError."""
    kernel, operator = read_kernel(path, file), file["operator"]
    if "factor" not in operator.attrs:
        raise ValueError(f"{path}: /operator factor is missing, expected an integer >= 1")
    factor = integer(path, operator, "factor", 1)
    if "block" not in file["image"].attrs and asked.block is None:
        grid = _rounded(grid, factor)
    if not divides(factor, grid):
        where = "/image block" if asked.block is None else "--block"
        raise ValueError(
            f"{path}: {where} is {list(grid.block_shape)}, expected multiples of the factor "
            f"{factor}"
        )
    y = picture(path, file, measured_shape(grid, factor), f"the image's over {factor}, rounded up")
    return SuperresolutionData(path, grid, read_stack(path, y, 2, asked), kernel, factor)


def write_superresolution(
    path: Path,
    truth: Image,
    y: NDArray[np.float32],
    *,
    block: tuple[int, int],
    kernel: NDArray[np.float32],
    factor: int,
) -> None:
    """Write a problem: truth float32 [H, W], y float32 [ceil(H / factor), ceil(W / factor)]."""
    write_blurred(path, truth, y, kind="superresolution", block=block, kernel=kernel, factor=factor)


def _rounded(grid: BlockGrid, factor: int) -> BlockGrid:
    """Blocks that nobody asked for, a little larger: their sides multiples of factor."""
    height, width = (
        min(-(-block // factor) * factor, side)
        for block, side in zip(grid.block_shape, grid.shape, strict=True)
    )
    return BlockGrid(grid.shape, (height, width))
