"""Cartesian MRI, block by block, against the transform of the whole image."""

import numpy as np
import pytest

from asyncred.grid import BlockGrid
from asyncred.operators.cartesian_mri import CartesianMri

GRIDS = [BlockGrid((24, 18), (8, 6)), BlockGrid((23, 17), (7, 6)), BlockGrid((9, 12), (9, 12))]
MASKS = ["vertical", "horizontal", "points", "all"]
COILS = 3


def sampled(kind, shape):
    """Lines of constant kx, lines of constant ky, points or all of k-space."""
    rng = np.random.default_rng(4)
    mask = np.zeros(shape, bool)
    if kind == "vertical":
        mask[:, rng.permutation(shape[1])[: shape[1] // 3]] = True
    elif kind == "horizontal":
        mask[rng.permutation(shape[0])[: shape[0] // 3]] = True
    else:
        mask[:] = rng.random(shape) < (0.3 if kind == "points" else 2)
    return mask


def real(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


def complex_(rng, *shape):
    return real(rng, *shape, 2).view(np.complex64)[..., 0]


def by_block(grid, coils):
    return {i: coils[(slice(None), *grid.block(i))] for i in range(len(grid))}


@pytest.fixture(params=[(grid, kind) for grid in GRIDS for kind in MASKS], ids=str)
def case(request):
    """A model, its grid, mask and coils."""
    grid, kind = request.param
    mask = sampled(kind, grid.shape)
    coils = complex_(np.random.default_rng(1), COILS, *grid.shape)
    return CartesianMri(grid, mask, by_block(grid, coils), threads=1), grid, mask, coils


def whole(x, mask, coils):
    """kspace[:, mask] in double precision, by the definition; x complex [H, W]."""
    axes = (1, 2)
    images = np.fft.ifftshift(coils.astype(np.complex128) * x, axes=axes)
    return np.fft.fftshift(np.fft.fft2(images, norm="ortho"), axes=axes)[:, mask]


def dot(a, b):
    """The inner product of vectors of real numbers, which complex ones are too."""
    a, b = (np.ascontiguousarray(v).view(np.float32).astype(np.float64) for v in (a, b))
    return float(np.vdot(a, b))


def test_blocks_sum_to_the_whole(case):
    A, grid, mask, coils = case
    x = complex_(np.random.default_rng(2), *grid.shape)
    y = sum(A.forward(i, x[grid.block(i)], None) for i in range(len(grid)))
    assert y.dtype == np.float32 and y.shape == (A.groups, A.length)
    assert A.groups == COILS and A.length == 2 * mask.sum()
    expected = whole(x, mask, coils)
    error = np.linalg.norm(y.view(np.complex64) - expected)
    assert error <= 1e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize("groups", [None, np.array([2]), np.array([0, 2])], ids=str)
def test_adjoint_dot_product(case, groups):
    """<A_i x, z> = <x, A_i^T z> for real and imaginary parts alike."""
    A, grid, _, _ = case
    rng = np.random.default_rng(3)
    for i in range(len(grid)):
        x = complex_(rng, *grid.window(i, 0).shape)
        Ax = A.forward(i, x, groups)
        z = real(rng, *Ax.shape)
        Az = A.adjoint(i, z, groups)
        assert Az.shape == x.shape and Az.dtype == A.dtype == np.complex64
        assert abs(dot(Ax, z) - dot(x, Az)) <= 1e-6 * np.linalg.norm(Ax) * np.linalg.norm(z)


def test_a_subset_is_a_part_of_all(case):
    A, grid, _, _ = case
    x = complex_(np.random.default_rng(5), *grid.window(0, 0).shape)
    groups = np.array([1, 2])
    np.testing.assert_array_equal(A.forward(0, x, groups), A.forward(0, x, None)[groups])


def test_adjoints_of_single_coils_sum_to_the_adjoint(case):
    """Hence minibatches of coils, of weight groups / w, are unbiased."""
    A, grid, _, _ = case
    last = len(grid) - 1
    r = real(np.random.default_rng(6), A.groups, A.length)
    parts = sum(A.adjoint(last, r[[c]], np.array([c])) for c in range(A.groups))
    np.testing.assert_allclose(parts, A.adjoint(last, r, None), atol=2e-6)


def test_footprint_is_everything(case):
    A, _, _, _ = case
    assert A.footprint(0).width == A.length
    np.testing.assert_array_equal(A.footprint(0).first, np.zeros(A.groups))


def test_one_coil_of_ones_and_all_of_k_space_is_unitary():
    shape = (11, 14)
    A = CartesianMri(BlockGrid(shape, shape), np.ones(shape, bool), None, threads=2)
    x = complex_(np.random.default_rng(0), *shape)
    np.testing.assert_allclose(A.adjoint(0, A.forward(0, x, None), None), x, atol=2e-6)


def test_zero_frequency_is_in_the_middle():
    shape = (6, 9)
    mask = np.zeros(shape, bool)
    mask[3, 4] = True
    A = CartesianMri(BlockGrid(shape, shape), mask, None, threads=1)
    x = np.ones(shape, np.complex64)
    np.testing.assert_allclose(A.forward(0, x, None), [[np.sqrt(54), 0]], atol=1e-5)


def test_only_some_blocks_need_their_coils():
    grid, rng = BlockGrid((12, 10), (6, 5)), np.random.default_rng(7)
    mask, coils = sampled("vertical", grid.shape), complex_(rng, COILS, *grid.shape)
    every = by_block(grid, coils)
    A, part = (CartesianMri(grid, mask, s, threads=1) for s in (every, {2: every[2]}))
    x = complex_(rng, 6, 5)
    np.testing.assert_array_equal(part.forward(2, x, None), A.forward(2, x, None))


SHAPE = (8, 6)


def pair(first, second):
    return {0: first, 3: second}


GOOD = np.ones((2, 4, 3), np.complex64)


@pytest.mark.parametrize(
    ("mask", "coils", "message"),
    [
        (np.ones((8, 5), bool), None, r"mask is bool \[8, 5\], 40 set, expected bool \[8, 6\]"),
        (np.ones(SHAPE, np.int8), None, r"mask is int8"),
        (np.zeros(SHAPE, bool), None, r"0 set, expected bool \[8, 6\], some set"),
        (
            np.ones(SHAPE, bool),
            pair(GOOD, GOOD[:, :3]),
            r"block 3 .* expected complex64 \[C, 4, 3\]",
        ),
        (np.ones(SHAPE, bool), pair(GOOD[0], GOOD), r"coils on block 0 are complex64 \[4, 3\]"),
        (np.ones(SHAPE, bool), pair(GOOD, GOOD[:1]), r"block 3 .* the same for all blocks"),
        (np.ones(SHAPE, bool), {1: GOOD.astype(np.complex128)}, r"block 1 are complex128"),
        (np.ones(SHAPE, bool), {1: GOOD[:0]}, r"C >= 1"),
    ],
)
def test_shapes_that_do_not_fit(mask, coils, message):
    with pytest.raises(ValueError, match=message):
        CartesianMri(BlockGrid(SHAPE, (4, 3)), mask, coils, threads=1)
