"""MRI in a problem file: what is written is read, what is wrong is named."""

import re

import numpy as np
import pytest

import h5py

from asyncred.commands.simulate.mri import random_columns, simulate_mri
from asyncred.commands.simulate.truth import Scene
from asyncred.files.problem import Asked, read_problem, write_cartesian_mri

SHAPE, COILS = (12, 10), 3


def random(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0]


@pytest.fixture
def path(tmp_path):
    mask = np.zeros(SHAPE, bool)
    mask[:, [1, 3, 4, 5, 6, 9]] = True
    path = tmp_path / "mri.h5"
    y, coils = random(COILS, *SHAPE), random(COILS, *SHAPE, seed=1)
    write_cartesian_mri(path, random(*SHAPE, seed=2), y, block=(6, 5), mask=mask, coils=coils)
    return path


def replace(file, name, values):
    del file[name]
    file[name] = values


def test_what_was_written(path):
    problem = read_problem(path)
    data = problem.data
    assert (problem.kind, problem.grid.shape, len(problem.grid)) == ("cartesian_mri", SHAPE, 4)
    assert data.groups == COILS and problem.has_truth and problem.shades == (0.0, 1.0)
    with h5py.File(path) as file:
        y, coils, truth = file["measurements/y"][:], file["operator/coils"][:], file["truth"][:]
    np.testing.assert_array_equal(data.y(range(1, 3)).view(np.complex64), y[1:, data.mask])
    found = data.sensitivities([3])
    assert list(found) == [3]
    np.testing.assert_array_equal(found[3], coils[:, 6:, 5:])
    np.testing.assert_array_equal(problem.truth(np.s_[0:6, 5:10], 0), truth[:6, 5:])
    data.check()


def test_what_is_outside_of_the_mask_is_ignored(path):
    before = read_problem(path).data.y(range(COILS))
    with h5py.File(path, "r+") as file:
        file["measurements/y"][:, :, 2] = np.nan
        replace(file, "operator/mask", file["operator/mask"][:].astype(np.uint8))
    np.testing.assert_array_equal(read_problem(path).data.y(range(COILS)), before)


def test_a_stack_and_a_real_truth(path):
    with h5py.File(path, "r+") as file:
        y = file["measurements/y"][:]
        replace(file, "measurements/y", np.stack([y, 2 * y]))
        replace(file, "truth", np.ones((2, *SHAPE), np.float32))
    problem = read_problem(path, Asked(images=(1, 2)))
    first, second = (problem.data.of(index).y(range(COILS)) for index in (0, 1))
    np.testing.assert_array_equal(second, 2 * first)
    assert problem.truth(np.s_[0:2, 0:2], 1).dtype == np.complex64
    P = problem.data.phases([0, 2])
    np.testing.assert_allclose(P[2], problem.data.of(0).phases([2])[2], atol=1e-5)


def test_one_coil(path):
    with h5py.File(path, "r+") as file:
        replace(file, "measurements/y", file["measurements/y"][:1])
        del file["operator/coils"]
    data = read_problem(path).data
    assert data.groups == 1
    np.testing.assert_array_equal(data.sensitivities([1])[1], np.ones((1, 6, 5)))


def test_the_model_gives_the_measurements(tmp_path):
    """The sum over the blocks of A_i conj(P_i) x_i is y, without noise."""
    path = tmp_path / "exact.h5"
    flags = {"coils": 4, "acceleration": 3.0, "center_fraction": 0.2, "noise_snr": 200.0}
    simulate_mri(Scene(path, "camera", 48, 16, 3, False), **flags)
    problem = read_problem(path)
    data, grid = problem.data, problem.grid
    A, P = data.model(list(range(9)), threads=1), data.phases(list(range(9)))
    x = {i: problem.truth(grid.block(i), 0) for i in range(9)}
    y = data.y(range(4))
    found = sum(A.forward(i, P[i].conj() * x[i], None) for i in range(9))
    assert np.linalg.norm(found - y) < 1e-5 * np.linalg.norm(y)
    assert np.count_nonzero(data.mask[0]) == 16


def test_random_columns():
    mask = random_columns(100, 4, 0.08, np.random.default_rng(0))
    assert mask.sum() == 25 and mask[46:54].all()
    others = [random_columns(100, 4, 0.08, np.random.default_rng(seed)) for seed in (0, 1)]
    np.testing.assert_array_equal(others[0], mask)
    assert (others[1] != mask).any()
    with pytest.raises(ValueError, match=r"--center-fraction is 0.5, expected at most 0.25"):
        random_columns(100, 4, 0.5, np.random.default_rng(0))


def without_coils(file):
    del file["operator/coils"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda file: replace(file, "operator/mask", np.ones((12, 9), bool)),
            "/operator/mask is bool [12, 9], expected bool or uint8 [12, 10] (the image)",
        ),
        (
            lambda file: replace(file, "operator/mask", np.zeros(SHAPE, np.uint8)),
            "/operator/mask is 0 everywhere, expected sampled points",
        ),
        (
            lambda file: replace(file, "operator/coils", random(COILS, 12, 9)),
            "/operator/coils is complex64 [3, 12, 9], expected complex64 [coils, 12, 10]",
        ),
        (
            without_coils,
            "/measurements/y is complex64 [3, 12, 10], expected complex64 [1, 12, 10]",
        ),
        (
            lambda file: replace(file, "measurements/y", np.zeros((COILS, *SHAPE), np.float32)),
            "/measurements/y is float32 [3, 12, 10], expected complex64 [3, 12, 10] (coils, ",
        ),
    ],
)
def test_what_is_wrong(path, change, message):
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read_problem(path)


@pytest.mark.parametrize(
    ("name", "where", "message"),
    [
        ("measurements/y", (2, 3, 4), "/measurements/y: coils 2 to 2 holds 1 NaN or Inf"),
        ("operator/coils", (1, 7, 2), "/operator/coils on block 2 holds 1 NaN or Inf"),
    ],
)
def test_nan_is_found_where_it_is(path, name, where, message):
    with h5py.File(path, "r+") as file:
        file[name][where] = np.nan
    with pytest.raises(ValueError, match=re.escape(message)):
        read_problem(path).data.check()
