"""The partition of the image into blocks: U_i, U_i^T and the windows a denoiser reads.

Notation (Async-RED, section 2): the image x is cut into b blocks; ``U_i`` puts block i back into
an image of zeros and ``U_i^T`` cuts it out. Both are slices here, so ``x[grid.block(i)]`` is
``U_i^T x``. Blocks are numbered in row-major order; those at the right and lower border may be
smaller than the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

Region = tuple[slice, slice]
"""Rows and columns of an image, both with explicit start and stop, in pixels."""


def region_shape(region: Region) -> tuple[int, int]:
    """Height and width of a region, in pixels."""
    return region[0].stop - region[0].start, region[1].stop - region[1].start


def within(part: Region, whole: Region) -> Region:
    """A part of a region in the region's own rows and columns: ``x[whole][within(...)]``."""
    rows, cols = (
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, whole, strict=True)
    )
    return rows, cols


@dataclass(frozen=True)
class Window:
    """What a denoiser must see to give block i exactly: the block, its halo and its alignment."""

    region: Region
    """The window in the image."""
    inner: Region
    """The block inside the window, so that ``D(x[region])[inner]`` is ``U_i^T D(x)``."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return region_shape(self.region)


@dataclass(frozen=True)
class Overlap:
    """The part of a region that lies in one block."""

    block: int
    in_block: Region
    in_region: Region


@dataclass(frozen=True)
class BlockGrid:
    """An image of ``shape`` pixels cut into blocks of at most ``block_shape`` pixels.

    Raises ValueError where a side is not positive or a block is larger than the image.
    """

    shape: tuple[int, int]
    block_shape: tuple[int, int]

    def __post_init__(self) -> None:
        for side, block in zip(self.shape, self.block_shape, strict=True):
            if not 1 <= block <= side:
                raise ValueError(
                    f"blocks of {self.block_shape} do not fit an image of {self.shape} pixels"
                )

    @cached_property
    def blocks_per_side(self) -> tuple[int, int]:
        """Number of rows and of columns of blocks."""
        (height, width), (bh, bw) = self.shape, self.block_shape
        return -(-height // bh), -(-width // bw)

    def __len__(self) -> int:
        """b, the number of blocks."""
        rows, cols = self.blocks_per_side
        return rows * cols

    def block(self, i: int) -> Region:
        """Where block i lies: ``x[grid.block(i)]`` is U_i^T x. Raises IndexError past b."""
        if not 0 <= i < len(self):
            raise IndexError(f"block {i} of {len(self)}")
        row, col = divmod(i, self.blocks_per_side[1])
        return self._side(0, row, row + 1), self._side(1, col, col + 1)

    def window(self, i: int, halo: int, align: int = 1) -> Window:
        """Block i grown by ``halo`` pixels, cut off (not reflected) at the border of the image.

        A network with strides sees the same as on the whole image only where its windows begin at
        a multiple of its total stride: ``align`` grows the window to that.
        """
        region, inner = [], []
        for side, part in zip(self.shape, self.block(i), strict=True):
            start = max(part.start - halo, 0) // align * align
            stop = min(-(-(part.stop + halo) // align) * align, side)
            region.append(slice(start, stop))
            inner.append(slice(part.start - start, part.stop - start))
        return Window((region[0], region[1]), (inner[0], inner[1]))

    def overlaps(self, region: Region) -> list[Overlap]:
        """The blocks that a region touches, in row-major order, with the part in each."""
        rows, cols = (
            range(part.start // size, -(-part.stop // size))
            for part, size in zip(region, self.block_shape, strict=True)
        )
        found = []
        for row in rows:
            for col in cols:
                i = row * self.blocks_per_side[1] + col
                pairs = [
                    _cut(part, block) for part, block in zip(region, self.block(i), strict=True)
                ]
                found.append(Overlap(i, (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1])))
        return found

    def _side(self, axis: int, first: int, last: int) -> slice:
        size = self.block_shape[axis]
        return slice(first * size, min(last * size, self.shape[axis]))


@dataclass(frozen=True)
class BlockWindows:
    """The windows of all blocks for one halo and alignment, in pixels: ``windows[i]``."""

    grid: BlockGrid
    halo: int
    align: int = 1

    def __getitem__(self, i: int) -> Window:
        return self.grid.window(i, self.halo, self.align)


def _cut(region: slice, block: slice) -> tuple[slice, slice]:
    """The common part of two ranges, counted from the block's start and from the region's."""
    start, stop = max(region.start, block.start), min(region.stop, block.stop)
    return (
        slice(start - block.start, stop - block.start),
        slice(start - region.start, stop - region.start),
    )
