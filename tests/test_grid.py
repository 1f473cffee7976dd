"""U_i and the windows of a denoiser: slices of the image."""

import numpy as np
import pytest

from asyncred.grid import BlockGrid, region_shape

GRIDS = [
    BlockGrid((12, 12), (4, 4)),
    BlockGrid((13, 17), (4, 5)),
    BlockGrid((7, 1), (3, 1)),
    BlockGrid((5, 9), (5, 9)),
    BlockGrid((6, 5), (1, 1)),
]


@pytest.mark.parametrize("grid", GRIDS)
def test_blocks_cover_every_pixel_once(grid):
    covered = np.zeros(grid.shape, int)
    for i in range(len(grid)):
        covered[grid.block(i)] += 1
        assert all(
            a <= b for a, b in zip(region_shape(grid.block(i)), grid.block_shape, strict=True)
        )
    assert (covered == 1).all()


def test_blocks_are_numbered_by_rows_and_ragged_at_the_far_borders():
    grid = BlockGrid((13, 17), (4, 5))
    assert grid.blocks_per_side == (4, 4)
    assert grid.block(0) == np.s_[0:4, 0:5]
    assert grid.block(3) == np.s_[0:4, 15:17]
    assert grid.block(15) == np.s_[12:13, 15:17]


@pytest.mark.parametrize("i", [-1, 16])
def test_no_such_block(i):
    with pytest.raises(IndexError, match=f"block {i} of 16"):
        BlockGrid((13, 17), (4, 5)).block(i)


@pytest.mark.parametrize("block", [(0, 4), (4, -1), (14, 4), (4, 18)])
def test_block_that_does_not_fit(block):
    with pytest.raises(ValueError, match=r"do not fit an image of \(13, 17\)"):
        BlockGrid((13, 17), block)


@pytest.mark.parametrize("align", [1, 2, 3, 8])
@pytest.mark.parametrize("halo", [0, 1, 6, 40])
@pytest.mark.parametrize("grid", GRIDS)
def test_window_holds_block_and_halo_and_no_more(grid, halo, align):
    x = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    for i in range(len(grid)):
        window = grid.window(i, halo, align)
        np.testing.assert_array_equal(x[window.region][window.inner], x[grid.block(i)])
        assert window.shape == x[window.region].shape
        for side, part, block in zip(grid.shape, window.region, grid.block(i), strict=True):
            assert 0 <= part.start <= max(block.start - halo, 0) < part.start + align
            assert part.start % align == 0
            assert min(block.stop + halo, side) <= part.stop <= side
            assert part.stop == side or part.stop % align == 0
            assert part.stop < block.stop + halo + align


@pytest.mark.parametrize("grid", GRIDS)
def test_overlaps_put_a_region_together(grid):
    x = np.random.default_rng(0).random(grid.shape)
    for i in range(len(grid)):
        region = grid.window(i, 3).region
        rebuilt = np.full(region_shape(region), np.nan)
        overlaps = grid.overlaps(region)
        for part in overlaps:
            assert np.isnan(rebuilt[part.in_region]).all()
            rebuilt[part.in_region] = x[grid.block(part.block)][part.in_block]
        np.testing.assert_array_equal(rebuilt, x[region])
        assert [part.block for part in overlaps] == sorted({part.block for part in overlaps})
