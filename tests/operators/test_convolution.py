"""Deblurring and superresolution against matrices written out in double precision."""

import numpy as np
import pytest
import scipy.signal

from asyncred.grid import BlockGrid
from asyncred.operators.convolution import Convolution, blur, gaussian_kernel, largest_gain
from asyncred.operators.superresolution import Superresolution, subsample

KERNELS = {
    "5x5": np.random.default_rng(0).standard_normal((5, 5), dtype=np.float32),
    "3x7": np.random.default_rng(1).standard_normal((3, 7), dtype=np.float32),
    "1x1": np.full((1, 1), 2, np.float32),
}
CASES = [
    (BlockGrid((24, 20), (6, 10)), "5x5", 1),
    (BlockGrid((19, 23), (7, 5)), "5x5", 1),
    (BlockGrid((19, 23), (7, 5)), "3x7", 1),
    (BlockGrid((13, 11), (2, 3)), "3x7", 1),  # blocks smaller than the radius
    (BlockGrid((4, 3), (4, 3)), "3x7", 1),  # an image smaller than the kernel
    (BlockGrid((9, 8), (4, 4)), "1x1", 1),
    (BlockGrid((24, 20), (6, 10)), "5x5", 2),
    (BlockGrid((19, 23), (8, 4)), "5x5", 4),
    (BlockGrid((19, 22), (6, 9)), "3x7", 3),
    (BlockGrid((7, 22), (7, 9)), "5x5", 3),  # one row of blocks of any height
]


def reference(x, kernel, factor):
    """(k * x)[::factor, ::factor] in double precision, term by term."""
    full = scipy.signal.convolve2d(x.astype(np.float64), kernel.astype(np.float64), mode="full")
    top, left = (k // 2 for k in kernel.shape)
    return full[top : top + x.shape[0], left : left + x.shape[1]][::factor, ::factor]


def transpose(r, kernel, factor, shape):
    """A^T r in double precision: a correlation of r on its lattice."""
    lattice = np.zeros(shape)
    lattice[::factor, ::factor] = r
    return reference(lattice, kernel[::-1, ::-1], 1)


def parts_of(grid, kernel, factor, y):
    """y of all blocks, cut out of the whole as the docstring says."""
    radius = max(kernel.shape) // 2
    parts = {}
    for i in range(len(grid)):
        rows, cols = (
            slice(-(-side.start // factor), -(-side.stop // factor))
            for side in grid.window(i, radius).region
        )
        parts[i] = y[rows, cols]
    return parts


def build(grid, kernel, factor, y):
    """The model of all blocks."""
    parts = parts_of(grid, kernel, factor, y)
    if factor == 1:
        return Convolution(grid, kernel, parts)
    return Superresolution(grid, kernel, factor, parts)


@pytest.fixture(params=CASES, ids=str)
def case(request):
    """A model, its grid, kernel, factor and the whole y."""
    grid, name, factor = request.param
    shape = [-(-side // factor) for side in grid.shape]
    y = np.random.default_rng(3).standard_normal(shape, dtype=np.float32)
    return build(grid, KERNELS[name], factor, y), grid, KERNELS[name], factor, y


def image(grid, seed):
    return np.random.default_rng(seed).standard_normal(grid.shape, dtype=np.float32)


def gradients(A, grid, x, rows=None):
    """The gradients of all blocks in one image."""
    out = np.empty(grid.shape, np.float32)
    for i in range(len(grid)):
        out[grid.block(i)] = A.gradient(i, x[grid.window(i, A.halo).region], rows)
    return out


def close(found, expected):
    return np.linalg.norm(found - expected) <= 1e-6 * np.linalg.norm(expected)


def test_blocks_of_the_gradient_of_the_whole(case):
    A, grid, kernel, factor, y = case
    x = image(grid, 4)
    found = gradients(A, grid, x)
    expected = transpose(reference(x, kernel, factor) - y, kernel, factor, grid.shape)
    assert found.dtype == np.float32
    assert A.halo == 2 * (max(kernel.shape) // 2)
    assert close(found, expected)


def test_gradient_of_one_block(case):
    """Not only in sum: each block is exact by itself."""
    A, grid, kernel, factor, y = case
    x = image(grid, 5)
    expected = transpose(reference(x, kernel, factor) - y, kernel, factor, grid.shape)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(gradients(A, grid, x), expected, rtol=0, atol=2e-6 * scale)


def test_forward_of_the_whole_image(case):
    _, grid, kernel, factor, _ = case
    x = image(grid, 6)
    found = blur(x, kernel) if factor == 1 else subsample(x, kernel, factor)
    assert found.dtype == np.float32
    assert close(found, reference(x, kernel, factor))


def test_normal_operator_is_that_of_the_forward_model(case):
    """<A x, A z> = <x, A^T A z> = <A^T A x, z>, from differences of gradients."""
    A, grid, kernel, factor, _ = case
    x, z, zero = image(grid, 7), image(grid, 8), np.zeros(grid.shape, np.float32)
    at_zero = gradients(A, grid, zero)
    AtAx, AtAz = (gradients(A, grid, v) - at_zero for v in (x, z))
    Ax, Az = (subsample(v, kernel, factor).astype(np.float64) for v in (x, z))
    scale = 1e-5 * np.linalg.norm(Ax) * np.linalg.norm(Az)
    assert abs(np.vdot(Ax, Az) - np.vdot(x.astype(np.float64), AtAz)) <= scale
    assert abs(np.vdot(Ax, Az) - np.vdot(AtAx.astype(np.float64), z)) <= scale


def test_adjoint_dot_product(case):
    """<A x, y> = <x, A^T y>."""
    A, grid, kernel, factor, y = case
    x = image(grid, 9)
    Ax = subsample(x, kernel, factor).astype(np.float64)
    found = sum(
        np.vdot(x[grid.block(i)].astype(np.float64), A.adjoint(i)) for i in range(len(grid))
    )
    assert abs(np.vdot(Ax, y) - found) <= 1e-6 * np.linalg.norm(Ax) * np.linalg.norm(y)


def test_minibatch_is_the_gradient_of_its_pixels(case):
    """(m/w) A_S^T (A_S x - y_S), S given in the block's window of y, row-major."""
    A, grid, kernel, factor, y = case
    x, i = image(grid, 10), len(grid) - 1
    window = grid.window(i, A.radius).region
    rows, cols = (np.arange(-(-s.start // factor), -(-s.stop // factor)) for s in window)
    m = rows.size * cols.size
    assert A.measurements(i) == m
    S = np.sort(np.random.default_rng(11).choice(m, max(1, m // 3), replace=False))
    r = np.zeros_like(y, np.float64)
    chosen = rows[S // cols.size], cols[S % cols.size]
    r[chosen] = m / S.size * (reference(x, kernel, factor) - y)[chosen]
    found = A.gradient(i, x[grid.window(i, A.halo).region], S)
    expected = transpose(r, kernel, factor, grid.shape)[grid.block(i)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(r).max())


def test_minibatches_of_a_partition_average_to_the_gradient(case):
    A, grid, _, _, _ = case
    x = image(grid, 12)
    for i in (0, len(grid) - 1):
        x_tilde, m = x[grid.window(i, A.halo).region], A.measurements(i)
        parts = np.array_split(np.random.default_rng(13).permutation(m), min(m, 4))
        mean = sum(part.size / m * A.gradient(i, x_tilde, np.sort(part)) for part in parts)
        full = A.gradient(i, x_tilde, None)
        np.testing.assert_allclose(mean, full, rtol=0, atol=1e-5 * np.abs(full).max())


def test_lipschitz_bounds_the_norm(case):
    """Of A written out; and not by far, where the image is larger than the kernel."""
    A, grid, kernel, factor, _ = case
    n = grid.shape[0] * grid.shape[1]
    units = np.eye(n).reshape(n, *grid.shape)
    matrix = np.stack([reference(unit, kernel, factor).ravel() for unit in units])
    exact = np.linalg.eigvalsh(matrix @ matrix.T)[-1]
    L = A.lipschitz(0, None)
    assert exact <= L
    if min(grid.shape) > 2 * max(kernel.shape):
        assert exact >= L / 1.5
    m = A.measurements(0)
    assert A.lipschitz(0, m) == A.lipschitz(0, 2 * m) == L
    assert A.lipschitz(0, 1) == m * L


def test_other_measurements(case):
    A, grid, kernel, factor, y = case
    i = len(grid) - 1
    other = A.of({i: 3 * part for i, part in parts_of(grid, kernel, factor, y).items()})
    np.testing.assert_allclose(other.adjoint(i), 3 * A.adjoint(i), rtol=0, atol=1e-4)
    assert other.lipschitz(i, None) == A.lipschitz(i, None)
    with pytest.raises(ValueError, match="block 0: y is"):
        A.of({0: np.zeros((1, 40), np.float32)})


def test_start_that_was_measured():
    grid, y = BlockGrid((19, 23), (7, 5)), image(BlockGrid((19, 23), (7, 5)), 1)
    A = build(grid, KERNELS["3x7"], 1, y)
    for i in range(len(grid)):
        np.testing.assert_array_equal(A.measured(i), y[grid.block(i)])


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_interpolation_keeps_the_measurements(factor):
    """y[j] sits on pixel factor j, in every block, whatever the kernel; also in a block of one."""
    for grid in (
        BlockGrid((26, 20), (6, 12)),
        BlockGrid((5, 20), (5, 6)),
        BlockGrid((1, 9), (1, 6)),
    ):
        shape = [-(-side // factor) for side in grid.shape]
        y = np.random.default_rng(3).random(shape, dtype=np.float32)
        for name in ("5x5", "1x1"):
            parts = parts_of(grid, KERNELS[name], factor, y)
            A = Superresolution(grid, KERNELS[name], factor, parts)
            found = np.full(grid.shape, np.nan, np.float32)
            for i in range(len(grid)):
                found[grid.block(i)] = A.interpolated(i)
            np.testing.assert_allclose(found[::factor, ::factor], y, atol=1e-5)


def test_interpolation_of_a_smooth_image():
    """Cubic and aligned: far nearer than the measurements repeated, in blocks too."""
    rows, cols = np.mgrid[:96, :96] / 96
    x = (0.5 + 0.3 * np.sin(9 * rows) * np.cos(7 * cols)).astype(np.float32)
    kernel = gaussian_kernel(2.0, 8)
    found = {}
    for side in (24, 96):
        grid = BlockGrid((96, 96), (side, side))
        A = Superresolution(grid, kernel, 4, parts_of(grid, kernel, 4, x[::4, ::4]))
        found[side] = np.empty_like(x)
        for i in range(len(grid)):
            found[side][grid.block(i)] = A.interpolated(i)
    inside = np.s_[8:84, 8:84]
    steps = np.abs(np.kron(x[::4, ::4], np.ones((4, 4))) - x)[inside].max()
    assert np.abs(found[96] - x)[inside].max() < 0.02 * steps
    assert np.abs(found[24] - found[96])[inside].max() < 0.1 * steps


def test_gain_of_a_kernel_that_sums_to_one():
    """|k^|^2 is 1 at zero frequency; decimation leaves a share of 1 / factor^2 of a smooth x."""
    kernel = gaussian_kernel(2.0, 6)
    assert largest_gain(kernel, 1) == pytest.approx(1, rel=0.011)
    assert largest_gain(kernel, 3) == pytest.approx(1 / 9, rel=0.02)


def test_gaussian_kernel():
    kernel = gaussian_kernel(1.5, 4)
    assert kernel.dtype == np.float32 and kernel.shape == (9, 9)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(kernel, kernel[::-1, ::-1].T)
    assert kernel[4, 7] / kernel[4, 4] == pytest.approx(np.exp(-2), rel=1e-5)
    np.testing.assert_array_equal(gaussian_kernel(1.0, 0), [[1]])


def test_subset_of_the_blocks_is_enough():
    """A rank holds y of its own blocks alone."""
    grid, kernel = BlockGrid((12, 12), (4, 4)), KERNELS["5x5"]
    shape = grid.window(4, 2).shape
    A = Convolution(grid, kernel, {4: np.zeros(shape, np.float32)})
    assert A.gradient(4, image(grid, 0), None).shape == (4, 4)


GRID = BlockGrid((12, 10), (4, 5))


@pytest.mark.parametrize(("sigma", "radius"), [(0, 3), (-1, 3), (float("nan"), 3), (1, -1)])
def test_no_such_gaussian(sigma, radius):
    with pytest.raises(ValueError, match="expected > 0, >= 0"):
        gaussian_kernel(sigma, radius)


@pytest.mark.parametrize(
    "kernel", [np.ones((4, 5), np.float32), np.ones(5, np.float32), np.ones((3, 3))], ids=str
)
def test_kernels_that_do_not_fit(kernel):
    with pytest.raises(ValueError, match=r"expected float32 \[kh, kw\] of odd sides"):
        Convolution(GRID, kernel, {})


def test_measurements_that_do_not_fit():
    with pytest.raises(ValueError, match=r"block 0: y is \[4, 5\], expected \[6, 7\]"):
        Convolution(GRID, KERNELS["5x5"], {0: np.zeros((4, 5), np.float32)})
    with pytest.raises(ValueError, match=r"block 2: y is \[6, 7\], expected \[4, 4\]"):
        grid = BlockGrid((12, 10), (4, 6))
        Superresolution(grid, KERNELS["5x5"], 2, {2: np.zeros((6, 7), np.float32)})


def test_factors_that_do_not_fit():
    with pytest.raises(ValueError, match=r"blocks are \[4, 5\], expected .* the factor 2"):
        Superresolution(GRID, KERNELS["5x5"], 2, {})
    with pytest.raises(ValueError, match="factor is 0, expected at least 1"):
        Superresolution(GRID, KERNELS["5x5"], 0, {})
