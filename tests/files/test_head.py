"""Blocks that are chosen for a file that says none."""

from __future__ import annotations

import pytest

from asyncred.files.problem.head import SMALLEST_BLOCK, Asked, block_for
from asyncred.grid import BlockGrid, region_shape


@pytest.mark.parametrize("ranks", [1, 2, 4, 16])
@pytest.mark.parametrize("shape", [(192, 192), (184, 129), (640, 512), (97, 300), (40, 40)])
def test_chosen_blocks_are_alike(shape, ranks):
    """192 are 2 times 96 or 3 times 64, not 144 and 48: whoever owns the 48 would update them
    three times as often."""
    grid = BlockGrid(shape, block_for(shape, Asked(ranks=ranks)))
    assert len(grid) >= max(4, 2 * ranks) or min(grid.block_shape) <= SMALLEST_BLOCK
    sides = zip(*(region_shape(grid.block(i)) for i in range(len(grid))), strict=True)
    for side, count in zip(sides, grid.blocks_per_side, strict=True):
        assert max(side) - min(side) < count


def test_blocks_that_are_asked_for_are_kept():
    assert block_for((100, 60), Asked(block=80)) == (80, 60)
    assert block_for((100, 60), Asked(block=(30, 20))) == (30, 20)
