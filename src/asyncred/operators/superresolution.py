"""Superresolution: y is every factor-th pixel of k * x, both ways, from pixel 0 on.

The convolution of ``asyncred.operators.convolution``, measured on a coarser lattice.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy

from asyncred.grid import BlockGrid
from asyncred.operators.convolution import Array, Blurred, blur, measured_region
from asyncred.operators.protocols import Image


def subsample(x: Image, kernel: Array, factor: int) -> Image:
    """(k * x)[::factor, ::factor], float32 [ceil(H / factor), ceil(W / factor)]."""
    return blur(x, kernel)[::factor, ::factor]


class Superresolution(Blurred):
    """The data term of the blocks of one rank; arguments and minibatches as for ``Blurred``.

    Blocks begin at multiples of ``factor``, so that all full blocks hold as many measurements.
    Raises ValueError.
    """

    def __init__(
        self,
        grid: BlockGrid,
        kernel: Array,
        factor: int,
        y: Mapping[int, Array],
        weights: Mapping[int, Array] | None = None,
    ) -> None:
        if factor < 1:
            raise ValueError(f"factor is {factor}, expected at least 1")
        if not divides(factor, grid):
            raise ValueError(
                f"blocks are {list(grid.block_shape)}, expected sides that are multiples of "
                f"the factor {factor}"
            )
        super().__init__(grid, kernel, factor, y, weights)

    def interpolated(self, i: int) -> Image:
        """Block i of the cubic spline through y, y[j] on pixel factor j, float32 [h, w].

        The spline is that of the measurements that block i has a part in: mirrored at their ends.
        """
        region = measured_region(self._grid, i, self.radius, self._factor)
        rows, cols = (
            np.arange(part.start, part.stop) / self._factor - measured.start
            for part, measured in zip(self._grid.block(i), region, strict=True)
        )
        places = np.meshgrid(rows, cols, indexing="ij")
        x_i: Image = scipy.ndimage.map_coordinates(self._known(i), places, order=3, mode="mirror")
        return x_i


def divides(factor: int, grid: BlockGrid) -> bool:
    """Whether all blocks begin at multiples of ``factor``."""
    sides = zip(grid.block_shape, grid.blocks_per_side, strict=True)
    return all(block % factor == 0 or count == 1 for block, count in sides)
