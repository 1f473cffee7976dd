"""A tomograph written out as a sparse matrix, run: the same image from every method."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from asyncred.files.pictures import load_image
from asyncred.files.problem import read_problem, write_matrix
from asyncred.grid import BlockGrid
from asyncred.metrics import snr
from asyncred.operators import ParallelBeam
from commands import ASYNCRED, reconstruct_all
from launch import mpirun

FLAGS = ["--denoiser", "tv", "--sigma", "5", "--threads", "1", "--refresh", "20"]
SIZE, VIEWS, BINS = 48, 24, 70


@pytest.fixture(scope="module")
def tomograph():
    return ParallelBeam(
        BlockGrid((SIZE, SIZE), (SIZE, SIZE)), np.arange(VIEWS) * np.pi / VIEWS, BINS, threads=1
    )


@pytest.fixture(scope="module")
def problem(tmp_path_factory, tomograph):
    """What one pixel after the other projects to is a column of A."""
    first, pixels, rows, values = tomograph.footprint(0).first, [], [], []
    for j, x in enumerate(np.identity(SIZE**2, np.float32)):
        projected = tomograph.forward(0, x.reshape(SIZE, SIZE), None)
        v, b = projected.nonzero()
        values.append(projected[v, b])
        rows.append(v * BINS + first[v] + b)
        pixels.append(np.full(v.size, j))
    places = (np.concatenate(rows), np.concatenate(pixels))
    A = csr_matrix((np.concatenate(values), places), shape=(VIEWS * BINS, SIZE**2))
    truth = load_image("camera", size=SIZE)
    y = A @ truth.ravel()
    noise = np.random.default_rng(0).standard_normal(y.size, np.float32)
    path = tmp_path_factory.mktemp("matrix") / "problem.h5"
    write_matrix(path, truth, y + 0.01 * y.mean() * noise, block=(16, 16), matrix=A)
    return path


def test_blocks_add_up_to_the_tomograph(problem, tomograph):
    found = read_problem(problem)
    A, blocks = found.data.model(list(range(9)), threads=1), range(9)
    x = found.truth(np.s_[0:SIZE, 0:SIZE], 0)
    y = sum(A.forward(i, x[found.grid.block(i)], None) for i in blocks).reshape(VIEWS, BINS)
    first, seen = tomograph.footprint(0).first, tomograph.forward(0, x, None)
    for v in range(VIEWS):
        expected = np.zeros(BINS)
        expected[first[v] : first[v] + seen.shape[1]] = seen[v]
        np.testing.assert_allclose(y[v], expected, atol=2e-4)


def test_check(problem):
    done = mpirun(1, *ASYNCRED, "check", problem, "-n", "3", timeout=60)
    assert done.returncode == 0, done.stderr
    assert "matrix, 1680 rows in 280 groups of 6, " in done.stdout
    assert "dot test of blocks 0, 4, 8: <A x, z> and <x, A^T z> differ by " in done.stdout


@pytest.mark.ranks
def test_all_methods_agree(problem):
    blocks = (*FLAGS, "--epochs", "120")
    whole = (*FLAGS, "--method", "gm", "--epochs", "150")
    minibatch = (*FLAGS, "--minibatch", "140", "--decay", "100", "--epochs", "250")
    serial, one = reconstruct_all(problem, 1, whole, blocks)
    two, four = reconstruct_all(problem, 2, blocks, minibatch), reconstruct_all(problem, 4, blocks)
    assert snr(serial.truth, serial.image) > snr(serial.truth, serial.start) + 5
    assert serial.provenance["parameters"]["tau"] == 0.283  # 0.1 at sigma 10
    for found in (one, *two, *four):
        said = (found.provenance["ranks"], found.provenance["parameters"]["minibatch"])
        assert snr(serial.image, found.image) > (40 if said[1] else 50), said
        drift = found.provenance["residual_drift"]
        assert len(drift) >= 3 and max(drift) < 1e-5, drift
