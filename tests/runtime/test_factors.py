"""Factors of A and the file that keeps them: the prox they give, whose they are, who made them."""

import numpy as np
import pytest

import h5py

from asyncred.operators import BlockRandom, Factored, factor
from asyncred.operators.block_random import draw_matrix
from commands import ASYNCRED, reconstruct, reconstruct_all, refused, simulate
from launch import mpirun

MU = 0.3


@pytest.mark.parametrize("m", [20, 70])
def test_prox_by_factors(m):
    """z - A'^T (A' z - y') = (A^T A + mu I)^-1 (A^T y + mu z), for few and many measurements."""
    rng = np.random.default_rng(0)
    a, n = draw_matrix(1, 0, m, 48), 48
    y, z = rng.standard_normal(m).astype("f4"), rng.standard_normal((6, 8)).astype("f4")
    solved, lower = factor(a, MU)
    assert solved.flags.c_contiguous and solved.shape == a.shape
    np.testing.assert_allclose(
        np.tril(lower) @ np.tril(lower).T, a @ a.T + MU * np.eye(m), atol=1e-5
    )
    A = Factored({0: solved}, {0: lower}, {0: y}, shapes={0: z.shape}, threads=1)
    exact = a.astype(np.float64)
    expected = np.linalg.solve(exact.T @ exact + MU * np.eye(n), exact.T @ y + MU * z.ravel())
    np.testing.assert_allclose((z - A.gradient(0, z, None)).ravel(), expected, atol=1e-5)
    other = A.of({0: 2 * y})
    np.testing.assert_allclose(other.adjoint(0), 2 * A.adjoint(0), rtol=1e-4, atol=1e-5)


def test_norm_is_below_one():
    a = draw_matrix(1, 0, 30, 48)
    solved, lower = factor(a, 0.01)
    A = Factored({0: solved}, {0: lower}, {0: a[:, 0].copy()}, shapes={0: (6, 8)}, threads=1)
    assert np.linalg.norm(solved, 2) ** 2 < A.lipschitz(0, None) == 1


def test_mu_too_small():
    a = np.ones((40, 60), np.float32)
    with pytest.raises(ValueError, match="--mu is 1e-12"):
        factor(a, 1e-12)


def test_start_is_that_of_the_same_data():
    """Total variation finds the same picture from (A', y') as from (A, y), in fewer steps."""
    from asyncred.metrics import snr
    from asyncred.operators.total_variation import total_variation_start

    rows, cols = np.mgrid[:30, :24]
    x = (0.3 + 0.4 * (rows + cols > 25) + 0.2 * (cols > 12)).astype(np.float32)
    a = draw_matrix(5, 0, 480, x.size)
    y = (a @ x.ravel()).astype("f4")
    solved, lower = factor(a, MU)
    A = Factored({0: solved}, {0: lower}, {0: y}, shapes={0: x.shape}, threads=1)
    plain = BlockRandom({0: a}, {0: y}, shapes={0: x.shape}, threads=1)
    assert A.start_steps < plain.start_steps
    found = total_variation_start(A, 0, A.centered(0), steps=A.start_steps)
    other = total_variation_start(plain, 0, plain.centered(0), steps=plain.start_steps)
    assert snr(x, found) > 25 and snr(x, other) > 25


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = tmp_path_factory.mktemp("factors") / "problem.h5"
    return simulate("cs", path, "--size", "48", "--block", "16")


COMMON = ("--epochs", "60", "--threads", "1", "--draft", "none", "--denoiser", "tv", "--sigma", "5")


@pytest.mark.ranks
def test_file_is_made_once_and_gives_what_exact_inner_steps_give(problem, tmp_path):
    factors = tmp_path / "f.h5"
    first = reconstruct(problem, 2, "--factors", factors, *COMMON)
    made = factors.stat().st_mtime_ns
    assert list(tmp_path.iterdir()) == [factors]
    kept = ("--factors", factors, *COMMON)
    again, inner = reconstruct_all(problem, 1, kept, ("--inner", "40", *COMMON))
    assert factors.stat().st_mtime_ns == made
    for found in (first, again):
        assert np.linalg.norm(found.image - inner.image) < 2e-3 * np.linalg.norm(inner.image)
    with h5py.File(factors) as file:
        assert file["A/0"].shape == (174, 256) and file["L/8"].shape == (174, 174)


@pytest.mark.ranks
def test_factors_of_another_problem_or_mu(problem, tmp_path):
    factors, output = tmp_path / "f.h5", tmp_path / "r.h5"
    reconstruct(problem, 2, "--factors", factors, *COMMON)
    other = simulate("cs", tmp_path / "p.h5", "--size", "48", "--block", "16", "--seed", "9")
    ways = {
        "block 0 is of another A": (other, "--factors", factors),
        "mu is 0.8, expected 0.2": (problem, "--factors", factors, "--mu", "0.2"),
        "r.h5: is the output file too": (problem, "--factors", output),
        "not an HDF5 file": (problem, "--factors", __file__),
        "--factors: of --update proximal": (problem, "--factors", factors, "--update", "gradient"),
    }
    commands = (("run", path, "-o", output, *COMMON, *flags) for path, *flags in ways.values())
    for words, line in zip(ways, refused(2, *commands), strict=True):
        assert words in line
    assert not output.exists()


@pytest.mark.ranks
def test_only_dense_matrices_are_factored(tmp_path):
    blurred = simulate("blur", tmp_path / "b.h5", "--size", "48", "--block", "24")
    command = ("run", blurred, "-o", tmp_path / "r.h5", "--factors", tmp_path / "f.h5")
    done = mpirun(1, *ASYNCRED, *command, timeout=60)
    assert done.returncode == 2 and "only a dense A has them" in done.stderr


@pytest.mark.ranks
def test_half_precision(problem, tmp_path):
    """Of A, and of its factors: the image changes by no more than rounding A does."""
    single = reconstruct(problem, 1, *COMMON)
    rounded = ("--matrix", "half", *COMMON)
    factored = (*rounded, "--factors", tmp_path / "f.h5")
    for half in reconstruct_all(problem, 2, rounded, factored):
        assert np.linalg.norm(half.image - single.image) < 2e-3 * np.linalg.norm(single.image)
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["A/0"].dtype == np.float16
    command = ("run", problem, "-o", tmp_path / "r.h5", "--factors", tmp_path / "f.h5", *COMMON)
    done = mpirun(1, *ASYNCRED, *command, timeout=60)
    assert done.returncode == 2 and "A is float16, expected float32" in done.stderr
