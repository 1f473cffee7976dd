"""Inpainting."""

import numpy as np
import pytest

from asyncred.grid import BlockGrid
from asyncred.operators.mask import Mask, hide

GRID = BlockGrid((11, 14), (4, 6))


@pytest.fixture(scope="module")
def image():
    """Which pixels are measured, and what; nothing is in the last block."""
    rng = np.random.default_rng(1)
    mask = rng.random(GRID.shape) < 0.4
    mask[GRID.block(len(GRID) - 1)] = False
    return mask, rng.random(GRID.shape, dtype=np.float32)


@pytest.fixture(scope="module")
def A(image):
    """The model of all blocks; what was not measured is NaN."""
    mask, y = image
    gaps = np.where(mask, y, np.float32(np.nan))
    blocks = range(len(GRID))
    return Mask(GRID, *({i: part[GRID.block(i)] for i in blocks} for part in (mask, gaps)))


def random_image(seed=0):
    return np.random.default_rng(seed).standard_normal(GRID.shape, dtype=np.float32)


def test_blocks_of_the_gradient(A, image):
    mask, y = image
    x = random_image()
    expected = np.where(mask, x - y, 0)
    for i in range(len(GRID)):
        found = A.gradient(i, x[GRID.block(i)], None)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected[GRID.block(i)])
    assert A.halo == 0


def test_normal_operator_is_that_of_the_forward_model(A, image):
    """<A x, A z> = <x, A^T A z>, A^T A z being a difference of gradients."""
    x, z = random_image(2), random_image(3)
    Ax, Az = (hide(v, image[0]).astype(np.float64) for v in (x, z))
    assert Ax.shape == GRID.shape
    found = 0.0
    for i in range(len(GRID)):
        part = GRID.block(i)
        AtAz = A.gradient(i, z[part], None) + A.adjoint(i)
        found += np.vdot(x[part].astype(np.float64), AtAz)
    assert found == pytest.approx(np.vdot(Ax, Az), rel=1e-5)


def test_minibatches_of_a_partition_average_to_the_gradient(A):
    x, m = random_image()[GRID.block(0)], A.measurements(0)
    rows = np.random.default_rng(2).permutation(m)[: m // 2 * 2].astype(np.int64)
    left = np.setdiff1d(np.arange(m), rows)
    parts = [np.sort(part) for part in np.array_split(rows, 2)] + [left] * (left.size > 0)
    mean = sum(part.size / m * A.gradient(0, x, part) for part in parts)
    np.testing.assert_allclose(mean, A.gradient(0, x, None), atol=1e-6)


def test_measurements_and_lipschitz(A, image):
    for i in range(len(GRID)):
        m = A.measurements(i)
        assert m == image[0][GRID.block(i)].sum()
        assert A.lipschitz(i, None) == (m > 0)
        assert A.lipschitz(i, m) == (m > 0)
    m = A.measurements(0)
    assert A.lipschitz(0, 2) == m / 2 and A.lipschitz(0, m + 5) == 1
    e = np.zeros(GRID.window(0, 0).shape, np.float32)
    e[np.unravel_index(np.flatnonzero(image[0][GRID.block(0)])[3], e.shape)] = 1
    rows = np.array([3, 4])
    change = A.gradient(0, e, rows) - A.gradient(0, 0 * e, rows)
    assert np.linalg.norm(change) == pytest.approx(A.lipschitz(0, 2), rel=1e-5)


def test_interpolation_takes_the_nearest_measured_pixel(A, image):
    mask, y = image
    for i in range(len(GRID) - 1):
        M_i, y_i = mask[GRID.block(i)], y[GRID.block(i)]
        found, places = A.interpolated(i), np.argwhere(M_i)
        assert found.dtype == np.float32
        for p in np.ndindex(M_i.shape):
            distances = np.linalg.norm(places - p, axis=1)
            nearest = places[distances <= distances.min() + 1e-9]
            assert found[p] in [y_i[tuple(q)] for q in nearest]
    np.testing.assert_array_equal(A.interpolated(len(GRID) - 1), 0)


def test_same_mask_with_other_measurements(A, image):
    y = image[1]
    other = A.of({i: 2 * y[GRID.block(i)] for i in range(len(GRID))})
    for i in range(len(GRID)):
        np.testing.assert_array_equal(other.adjoint(i), 2 * A.adjoint(i))
        assert other.measurements(i) == A.measurements(i)
    with pytest.raises(ValueError, match=r"masks of blocks .* y of \[0\]"):
        A.of({0: y[GRID.block(0)]})


@pytest.mark.parametrize(
    ("mask", "y", "message"),
    [
        (np.ones((4, 5), bool), np.zeros((4, 6), np.float32), r"block 0: mask bool \[4, 5\]"),
        (
            np.ones((4, 6), bool),
            np.zeros((4, 5), np.float32),
            r"y \[4, 5\], expected bool \[4, 6\]",
        ),
        (np.ones((4, 6), np.uint8), np.zeros((4, 6), np.float32), r"mask uint8"),
    ],
)
def test_shapes_that_do_not_fit(mask, y, message):
    with pytest.raises(ValueError, match=message):
        Mask(GRID, {0: mask}, {0: y})


def test_blocks_of_mask_and_y_are_the_same():
    with pytest.raises(ValueError, match=r"masks of blocks \[0\], y of \[0, 1\]"):
        Mask(GRID, {0: np.ones((4, 6), bool)}, dict.fromkeys((0, 1), np.zeros((4, 6), np.float32)))
