"""A sparse matrix cut into blocks and runs of rows."""

import numpy as np
import pytest
import scipy.sparse

from asyncred.grid import BlockGrid
from asyncred.operators.matrix import SparseMatrix

GRIDS = [BlockGrid((12, 8), (4, 4)), BlockGrid((11, 7), (4, 3)), BlockGrid((5, 6), (5, 6))]
RUN = 6


def normal(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


@pytest.fixture(params=[(grid, rows) for grid in GRIDS for rows in (24, 40)], ids=str)
def case(request):
    """A model of full runs or not, its grid and the matrix, dense."""
    grid, rows = request.param
    pixels = grid.shape[0] * grid.shape[1]
    rng = np.random.default_rng(1)
    dense = np.where(rng.random((rows, pixels)) < 0.15, normal(rng, rows, pixels), np.float32(0))
    return SparseMatrix(grid, scipy.sparse.csr_matrix(dense), RUN), grid, dense


def test_blocks_sum_to_the_whole(case):
    A, grid, dense = case
    x = normal(np.random.default_rng(2), *grid.shape)
    y = sum(A.forward(i, x[grid.block(i)], None) for i in range(len(grid)))
    assert y.dtype == np.float32 and y.shape == (A.groups, A.length) == (-(-len(dense) // RUN), RUN)
    np.testing.assert_allclose(y.ravel()[: len(dense)], dense @ x.ravel(), atol=1e-5)
    assert not y.ravel()[len(dense) :].any()


def test_adjoint_is_the_transpose(case):
    A, grid, dense = case
    z = normal(np.random.default_rng(3), A.groups, A.length)
    expected = (dense.T @ z.ravel()[: len(dense)]).reshape(grid.shape)
    for i in range(len(grid)):
        found = A.adjoint(i, z, None)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[grid.block(i)], atol=1e-5)


@pytest.mark.parametrize("groups", [None, np.array([3]), np.array([0, 2, 3])], ids=str)
def test_adjoint_dot_product(case, groups):
    """<A_i x, z> = <x, A_i^T z>."""
    A, grid, _ = case
    rng = np.random.default_rng(4)
    for i in range(len(grid)):
        x = normal(rng, *grid.window(i, 0).shape)
        Ax = A.forward(i, x, groups)
        z = normal(rng, *Ax.shape)
        found = np.vdot(x.astype(np.float64), A.adjoint(i, z, groups))
        scale = np.linalg.norm(Ax) * np.linalg.norm(z)
        assert abs(np.vdot(Ax.astype(np.float64), z) - found) <= 1e-6 * scale


def test_a_subset_is_a_part_of_all(case):
    A, grid, _ = case
    x = normal(np.random.default_rng(5), *grid.window(0, 0).shape)
    groups = np.array([1, 3])
    np.testing.assert_array_equal(A.forward(0, x, groups), A.forward(0, x, None)[groups])


def test_adjoints_of_single_runs_sum_to_the_adjoint(case):
    """Hence minibatches of runs, of weight groups / w, are unbiased."""
    A, grid, _ = case
    last = len(grid) - 1
    r = normal(np.random.default_rng(6), A.groups, A.length)
    parts = sum(A.adjoint(last, r[[g]], np.array([g])) for g in range(A.groups))
    np.testing.assert_allclose(parts, A.adjoint(last, r, None), atol=1e-5)


def test_footprint_is_everything(case):
    A, _, _ = case
    assert A.footprint(0).width == RUN
    np.testing.assert_array_equal(A.footprint(0).first, np.zeros(A.groups))


@pytest.mark.parametrize(
    ("matrix", "run", "message"),
    [
        (scipy.sparse.csr_matrix((4, 11), dtype=np.float32), 2, r"\[4, 11\], expected csr float32"),
        (scipy.sparse.csr_matrix((4, 12)), 2, r"csr float64 \[4, 12\], expected csr float32"),
        (scipy.sparse.csc_matrix((4, 12), dtype=np.float32), 2, r"matrix is csc"),
        (scipy.sparse.csr_matrix((0, 12), dtype=np.float32), 2, r"rows >= 1"),
        (scipy.sparse.csr_matrix((4, 12), dtype=np.float32), 0, r"run is 0, expected at least 1"),
    ],
)
def test_matrices_that_do_not_fit(matrix, run, message):
    with pytest.raises(ValueError, match=message):
        SparseMatrix(BlockGrid((4, 3), (2, 3)), matrix, run)
