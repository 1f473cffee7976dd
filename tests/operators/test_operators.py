"""The data term of block-diagonal compressive sensing."""

import numpy as np
import pytest

from asyncred.operators import BlockRandom
from asyncred.operators.block_random import draw_matrix, rows_of_block
from asyncred.red.sampling import RandomRows

SHAPES = {0: (6, 8), 4: (5, 3)}
ROWS = {0: 30, 4: 9}


@pytest.fixture(scope="module")
def data():
    """Matrices and measurements of two blocks, one of them at a ragged border."""
    rng = np.random.default_rng(1)
    matrices = {i: draw_matrix(7, i, ROWS[i], h * w) for i, (h, w) in SHAPES.items()}
    y = {i: rng.standard_normal(m, dtype=np.float32) for i, m in ROWS.items()}
    return matrices, y


@pytest.fixture(scope="module")
def A(data):
    return BlockRandom(*data, shapes=SHAPES, threads=1)


def image(i, seed=0):
    return np.random.default_rng(seed).random(SHAPES[i], dtype=np.float32)


def close(actual, expected, tolerance=1e-5):
    return np.linalg.norm(actual - expected) <= tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize("i", SHAPES)
def test_gradient_in_double_precision(A, data, i):
    a, y = (part[i].astype(np.float64) for part in data)
    expected = a.T @ (a @ image(i).ravel() - y)
    found = A.gradient(i, image(i), None)
    assert found.dtype == np.float32 and found.shape == SHAPES[i]
    assert close(found, expected.reshape(SHAPES[i]))


@pytest.mark.parametrize("i", SHAPES)
def test_adjoint_dot_product(A, data, i):
    """<A_i x, y_i> = <x, A_i^T y_i>."""
    a, y = data
    x = image(i).ravel().astype(np.float64)
    assert (a[i] @ x) @ y[i] == pytest.approx(x @ A.adjoint(i).ravel(), rel=1e-5)


@pytest.mark.parametrize("i", SHAPES)
def test_gradient_is_that_of_g(A, data, i):
    """Along any direction, by a central difference: exact for a quadratic."""
    a, y = (part[i].astype(np.float64) for part in data)

    def g(x):
        return 0.5 * np.sum((a @ x.ravel() - y) ** 2)

    x, v = image(i).astype(np.float64), image(i, 5).astype(np.float64)
    slope = (g(x + v) - g(x - v)) / 2
    assert np.sum(A.gradient(i, image(i), None) * v) == pytest.approx(slope, rel=1e-4)


def test_gradient_of_a_part_of_a_larger_array(A):
    window = np.random.default_rng(0).random((12, 14), dtype=np.float32)
    x = window[3:9, 2:10]
    np.testing.assert_array_equal(A.gradient(0, x, None), A.gradient(0, x.copy(), None))


def test_minibatches_of_a_partition_average_to_the_gradient(A):
    x, rows = image(0), np.random.default_rng(2).permutation(ROWS[0]).astype(np.int64)
    parts = [A.gradient(0, x, np.sort(part)) for part in rows.reshape(6, 5)]
    assert close(np.mean(parts, axis=0), A.gradient(0, x, None))


def test_minibatch_gradient_is_unbiased(A):
    x, minibatch = image(0), RandomRows(10, [3])
    draws = np.array([A.gradient(0, x, minibatch.draw(ROWS[0])) for _ in range(4000)], np.float64)
    error = np.linalg.norm(draws.mean(axis=0) - A.gradient(0, x, None))
    expected = np.sqrt(draws.var(axis=0).sum() / len(draws))
    assert error <= 1.5 * expected


@pytest.mark.parametrize("i", SHAPES)
def test_lipschitz_is_the_norm(A, data, i):
    exact = np.linalg.norm(data[0][i], 2) ** 2
    assert exact <= A.lipschitz(i, None) <= 1.02 * exact
    assert A.lipschitz(i, ROWS[i]) == A.lipschitz(i, None)


def test_lipschitz_of_minibatches(A, data):
    w, rng = 6, np.random.default_rng(9)
    subsets = [data[0][0][rng.choice(ROWS[0], w, replace=False)] for _ in range(50)]
    norms = [ROWS[0] / w * np.linalg.norm(a, 2) ** 2 for a in subsets]
    assert min(norms) <= A.lipschitz(0, w) <= 1.02 * max(norms)
    assert A.lipschitz(0, w) > A.lipschitz(0, None)


def test_matrices_depend_on_seed_and_block_alone():
    a = draw_matrix(7, 3, 40, 50)
    assert a.dtype == np.float32 and a.flags.c_contiguous
    np.testing.assert_array_equal(a, draw_matrix(7, 3, 40, 50))
    assert not np.array_equal(a, draw_matrix(7, 4, 40, 50))
    assert not np.array_equal(a, draw_matrix(8, 3, 40, 50))
    assert np.var(a) * 40 == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("m", "n", "n_full", "expected"), [(68, 100, 100, 68), (68, 40, 100, 27), (1, 1, 100, 1)]
)
def test_rows_of_a_border_block(m, n, n_full, expected):
    assert rows_of_block(m, n, n_full) == expected


@pytest.mark.parametrize(("rows", "shape"), [(31, (6, 8)), (30, (6, 7)), (30, (7, 8))])
def test_shapes_that_do_not_fit(data, rows, shape):
    y = np.zeros(rows, np.float32)
    with pytest.raises(ValueError, match=r"block 0: A \(30, 48\)"):
        BlockRandom({0: data[0][0]}, {0: y}, shapes={0: shape}, threads=1)
