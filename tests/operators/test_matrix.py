"""A sparse matrix cut into blocks and runs of rows."""

import numpy as np
import pytest
import scipy.sparse

from asyncred.grid import BlockGrid
from asyncred.operators import SparseMatrix
from asyncred.operators.contract import dot_test
from asyncred.operators.matrix import Columns, cut

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
    return model(grid, scipy.sparse.csr_matrix(dense)), grid, dense


def model(grid, matrix, step=7):
    """The model of all blocks of a matrix that comes in pieces of so many rows."""
    columns, groups = Columns(grid, list(range(len(grid)))), -(-matrix.shape[0] // RUN)
    for first in range(0, matrix.shape[0], step):
        columns.add(matrix[first : first + step])
    return SparseMatrix(grid, columns.parts(groups * RUN), groups=groups, run=RUN)


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


def test_adjoint_dot_product(case):
    """<A_i x, z> = <x, A_i^T z>, and a subset of groups is that part of all."""
    A, grid, _ = case
    found = dot_test(A, grid, list(range(len(grid))), np.random.default_rng(4))
    assert found.mismatch < 1e-6 and found.subset == 0


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


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16])
def test_cut_takes_the_columns_of_the_blocks(dtype):
    grid, rng = BlockGrid((5, 7), (2, 3)), np.random.default_rng(7)
    rows = scipy.sparse.random(6, 35, 0.3, "csr", np.float32, rng)
    rows.indices = rows.indices.astype(dtype)
    pixels = np.arange(35).reshape(5, 7)
    parts = cut(grid, [1, 8], rows)
    assert list(parts) == [1, 8]
    for i, part in parts.items():
        expected = rows.toarray()[:, pixels[grid.block(i)].ravel()]
        assert part.dtype == np.float32 and expected.any()
        np.testing.assert_array_equal(part.toarray(), expected)


def test_entries_of_the_same_place_add_up():
    grid = BlockGrid((2, 2), (1, 2))
    twice = scipy.sparse.csr_matrix((np.ones(2, np.float32), [3, 3], [0, 2]), shape=(1, 4))
    np.testing.assert_array_equal(cut(grid, [1], twice)[1].toarray(), [[0, 2]])


@pytest.mark.parametrize(
    ("part", "run", "message"),
    [
        (scipy.sparse.csr_matrix((4, 5), dtype=np.float32), 2, r"\[4, 5\], expected csr float32"),
        (scipy.sparse.csr_matrix((4, 6)), 2, r"block 1: A is csr float64 \[4, 6\], expected csr"),
        (scipy.sparse.csc_matrix((4, 6), dtype=np.float32), 2, r"A is csc float32"),
        (scipy.sparse.csr_matrix((3, 6), dtype=np.float32), 2, r"expected csr float32 \[4, 6\]"),
        (scipy.sparse.csr_matrix((4, 6), dtype=np.float32), 0, r"2 groups of 0 rows"),
    ],
)
def test_parts_that_do_not_fit(part, run, message):
    with pytest.raises(ValueError, match=message):
        SparseMatrix(BlockGrid((4, 3), (2, 3)), {1: part}, groups=2, run=run)
