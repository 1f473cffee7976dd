"""Weights: W^(1/2) A is a forward model, and every data term is that of 1/2 ||A x - y||_W^2."""

import numpy as np
import pytest
from scipy.sparse import random as random_sparse

from asyncred.grid import BlockGrid
from asyncred.operators import (
    CartesianMri,
    Convolution,
    Coupled,
    Fan,
    FanBeam,
    FlatDetector,
    LocalResidual,
    Mask,
    ParallelBeam,
    SparseMatrix,
    Superresolution,
    Weighted,
)
from asyncred.operators.contract import check_answers, dot_test
from asyncred.operators.convolution import blur, gaussian_kernel, measured_region
from asyncred.operators.matrix import cut
from asyncred.operators.weighted import roots_of
from forward import Dense

GRID = BlockGrid((18, 20), (8, 8))
BLOCKS = list(range(len(GRID)))
ANGLES = np.linspace(0, np.pi, 11, endpoint=False)


def sparse():
    A = random_sparse(60, 18 * 20, 0.1, "csr", np.float32, np.random.default_rng(1))
    return SparseMatrix(GRID, cut(GRID, BLOCKS, A), groups=12, run=5)


def mri():
    rng = np.random.default_rng(2)
    coils = {i: rng.standard_normal((2, 3, *GRID.window(i, 0).shape)) for i in BLOCKS}
    complex_coils = {i: (c[0] + 1j * c[1]).astype(np.complex64) for i, c in coils.items()}
    return CartesianMri(GRID, rng.random(GRID.shape) < 0.4, complex_coils, threads=1)


COUPLED = {
    "dense": lambda: Dense(GRID),
    "parallel_beam": lambda: ParallelBeam(GRID, ANGLES, 29, threads=1),
    "fan_beam": lambda: FanBeam(
        GRID, 2 * ANGLES, 29, Fan(50.0, FlatDetector(1 / 50), 14.0), threads=1
    ),
    "matrix": sparse,
    "cartesian_mri": mri,
}


def weighted(model, seed=0):
    """W^(1/2) A with some weights that are 0, and w^(1/2) [groups, length]."""
    rng = np.random.default_rng(seed)
    w = rng.exponential(1, (model.groups, model.length)) * (rng.random(model.groups) < 0.8)[:, None]
    roots, parts = roots_of(w.astype(np.float32), w[w > 0].mean()), {}
    for i in BLOCKS:
        seen = model.footprint(i)
        columns = seen.first[:, None] + np.arange(seen.width)
        parts[i] = np.take_along_axis(roots, columns, axis=1)
    return Weighted(model, parts), roots


@pytest.mark.parametrize("kind", COUPLED)
def test_it_keeps_the_contract(kind):
    A, _ = weighted(COUPLED[kind]())
    assert check_answers(A, GRID, BLOCKS) is A
    dot_test(A, GRID, [0, 4, 8], np.random.default_rng(0)).check()


@pytest.mark.parametrize("kind", COUPLED)
def test_blocks_sum_to_the_whole(kind):
    """The residual holds W^(1/2) (A x - y), its gradient is A^T W (A x - y), block by block."""
    model, rng = COUPLED[kind](), np.random.default_rng(3)
    A, roots = weighted(model)
    x = rng.standard_normal(GRID.shape).astype(model.dtype)
    y = rng.standard_normal(roots.shape).astype(np.float32)
    plain, r = LocalResidual(model, -y), LocalResidual(A, -roots * y)
    for i in BLOCKS:
        plain.add(i, model.forward(i, x[GRID.block(i)], None))
        r.add(i, A.forward(i, x[GRID.block(i)], None))
    np.testing.assert_allclose(r.array, roots * plain.array, atol=1e-5)
    W_r = LocalResidual(model, roots**2 * plain.array)
    term = Coupled(A, r, weight=0.5, norms={}, norm=1.0)
    for i in BLOCKS:
        expected = 0.5 * model.adjoint(i, W_r.read(i, None), None)
        found = term.gradient(i, x[GRID.block(i)], None)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_roots_of_another_shape_are_refused():
    model = Dense(GRID)
    with pytest.raises(ValueError, match=r"block 1: roots of the weights are float32 \[7, 14\]"):
        Weighted(model, {0: np.ones((7, 15), np.float32), 1: np.ones((7, 14), np.float32)})


KERNEL = gaussian_kernel(1.0, 2)


def local(kind, y, w):
    """The data term of a kind, of y and weights of the whole image (None for no weights)."""
    if kind == "mask":
        mask = y > -0.5
        whole = {"mask": mask, "y": y, "w": w}
        cuts = {
            k: v if v is None else {i: v[GRID.block(i)] for i in BLOCKS} for k, v in whole.items()
        }
        return Mask(GRID, cuts["mask"], cuts["y"], cuts["w"])
    factor = {"convolution": 1, "superresolution": 2}[kind]
    parts = {i: measured_region(GRID, i, 2, factor) for i in BLOCKS}
    y_i, w_i = (v if v is None else {i: v[p] for i, p in parts.items()} for v in (y, w))
    if factor == 1:
        return Convolution(GRID, KERNEL, y_i, w_i)
    return Superresolution(GRID, KERNEL, factor, y_i, w_i)


def gradient(kind, x, y, w):
    """A^T W (A x - y) of the whole image, and ||A x - y||_W^2."""
    if kind == "mask":
        r = (y > -0.5) * (x - y)
        return w * r, np.sum(w * r**2)
    step = 1 if kind == "convolution" else 2
    r = blur(x, KERNEL)[::step, ::step] - y
    back = np.zeros_like(x)
    back[::step, ::step] = w * r
    return blur(back, KERNEL[::-1, ::-1].copy()), np.sum(w * r**2)


def case(kind):
    rng = np.random.default_rng(5)
    shape = (9, 10) if kind == "superresolution" else GRID.shape
    x = rng.standard_normal(GRID.shape).astype(np.float32)
    y = rng.standard_normal(shape).astype(np.float32)
    w = rng.exponential(1, shape).astype(np.float32)
    w[rng.random(shape) < 0.2] = 0
    return x, y, w


LOCAL = ("mask", "convolution", "superresolution")


@pytest.mark.parametrize("kind", LOCAL)
def test_local_terms_are_the_blocks_of_the_weighted_gradient(kind):
    x, y, w = case(kind)
    A, (whole, misfit) = local(kind, y, w), gradient(kind, x, y, w)
    rng = np.random.default_rng(0)
    for i in BLOCKS:
        seen = GRID.window(i, A.halo)
        found = A.gradient(i, x[seen.region], None)
        np.testing.assert_allclose(found, whole[GRID.block(i)], atol=1e-5)
        m = A.measurements(i)
        parts = [
            A.gradient(i, x[seen.region], rows) for rows in np.array_split(rng.permutation(m), 4)
        ]
        sizes = [len(part) for part in np.array_split(np.arange(m), 4)]
        mean = sum(size * part for size, part in zip(sizes, parts, strict=True)) / m
        np.testing.assert_allclose(mean, found, atol=1e-4)
    assert sum(A.misfit(i) for i in BLOCKS) == pytest.approx(misfit, rel=1e-4)
    at_zero = gradient(kind, np.zeros_like(x), y, w)[1]
    assert sum(A.energy(i) for i in BLOCKS) == pytest.approx(at_zero, rel=1e-4)


@pytest.mark.parametrize("kind", LOCAL)
def test_the_hessian_of_a_block_and_its_norm(kind):
    x, y, w = case(kind)
    A, rng = local(kind, y, w), np.random.default_rng(1)
    for i in BLOCKS:
        v = np.zeros_like(x)
        v[GRID.block(i)] = rng.standard_normal(v[GRID.block(i)].shape)
        expected = gradient(kind, v, 0 * y, w)[0] if kind != "mask" else w * (y > -0.5) * v
        found = A.normal(i, v[GRID.block(i)].copy())
        np.testing.assert_allclose(found, expected[GRID.block(i)], atol=1e-5)
        assert np.vdot(v, expected) <= A.lipschitz(i, None) * np.vdot(v, v) * (1 + 1e-5)


@pytest.mark.parametrize("kind", LOCAL)
def test_weights_of_one_change_nothing(kind):
    x, y, _ = case(kind)
    plain, ones = local(kind, y, None), local(kind, y, np.ones_like(y))
    for i in BLOCKS:
        seen = GRID.window(i, plain.halo).region
        found = [A.gradient(i, x[seen], None) for A in (plain, ones)]
        np.testing.assert_array_equal(*found)
        assert plain.lipschitz(i, 3) == ones.lipschitz(i, 3)
        assert plain.misfit(i) == pytest.approx(ones.misfit(i), rel=1e-6)


@pytest.mark.parametrize(("kind", "start"), [(LOCAL[1], "measured"), (LOCAL[2], "interpolated")])
def test_starts_bridge_what_was_not_measured(kind, start):
    """y of 7 everywhere, 0 where its weight is."""
    w = case(kind)[2]
    A = local(kind, np.where(w > 0, np.float32(7), np.float32(0)), w)
    for i in BLOCKS:
        np.testing.assert_allclose(getattr(A, start)(i), 7, atol=1e-5)
