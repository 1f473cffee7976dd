"""Superresolution: y is every factor-th pixel of k * x, both ways, from pixel 0 on.

The convolution of ``asyncred.operators.convolution``, measured on a coarser lattice.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from asyncred.grid import BlockGrid, Region
from asyncred.operators.convolution import Array, Convolution, blur, largest_gain
from asyncred.operators.protocols import Image


def subsample(x: Image, kernel: Array, factor: int) -> Image:
    """(k * x)[::factor, ::factor], float32 [ceil(H / factor), ceil(W / factor)]."""
    return blur(x, kernel)[::factor, ::factor]


class Superresolution(Convolution):
    """The data term of the blocks of one rank.

    ``kernel`` and ``halo`` as for ``Convolution``. ``y`` maps a block's number i to the
    measurements inside ``grid.window(i, radius)``: ``y[ceil(a / factor) : ceil(b / factor)]`` for a
    side of the window from a to b. Minibatches are drawn from these. Blocks begin at multiples of
    ``factor``, so that all full blocks hold as many measurements. Raises ValueError.
    """

    def __init__(self, grid: BlockGrid, kernel: Array, factor: int, y: Mapping[int, Array]) -> None:
        if factor < 1:
            raise ValueError(f"factor is {factor}, expected at least 1")
        for block, count in zip(grid.block_shape, grid.blocks_per_side, strict=True):
            if block % factor and count > 1:
                raise ValueError(
                    f"blocks are {list(grid.block_shape)}, expected sides that are multiples of "
                    f"the factor {factor}"
                )
        self._factor = factor
        super().__init__(grid, kernel, y)

    def _lattice(self, region: Region) -> Region:
        """The pixels of a region whose row and column in the image are multiples of factor."""
        rows, cols = (slice(-part.start % self._factor, None, self._factor) for part in region)
        return rows, cols

    @cached_property
    def _norm_squared(self) -> float:
        return largest_gain(self._kernel, self._factor)
