"""Files as the fastMRI data set has them (arXiv:1811.08839), made with h5py alone."""

import re
import sys

import numpy as np
import pytest

import h5py

from asyncred.commands.simulate.mri import random_columns, smooth_coils, smooth_phase
from asyncred.files.pictures import load_image
from asyncred.files.problem import Asked, read_problem
from asyncred.files.result import read_result
from asyncred.metrics import snr
from launch import mpirun

SLICES, COILS, SHAPE = 3, 4, (64, 56)
SCALE = 2e-5  # of the values of such files


def scan(rng):
    """k-space [slices, coils, ky, kx], sampled by column, its columns, and the images."""
    picture = load_image("camera", size=112)
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    inside = (x * x + y * y < 0.8).astype(np.float32)  # of air around it: nothing wraps around
    images = np.stack([inside * picture[8 * k : 8 * k + 64, 20:76] for k in range(SLICES)])
    k = np.empty((SLICES, COILS, *SHAPE), np.complex64)
    for z in range(SLICES):
        s = smooth_coils(SHAPE, COILS, rng) * np.exp(1j * smooth_phase(SHAPE, rng)) * images[z]
        shifted = np.fft.ifftshift(s, axes=(1, 2))
        k[z] = SCALE * np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=(1, 2))
    noise = rng.standard_normal((*k.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    columns = random_columns(SHAPE[1], 2, 0.25, rng)
    return (k + np.float32(0.01 * SCALE) * noise) * columns, columns, images


@pytest.fixture
def file(tmp_path):
    """The path of a multicoil file of a training set, without /mask, and the images in it."""
    k, _, images = scan(np.random.default_rng(0))
    path = tmp_path / "file1000000.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = k.astype(np.complex64)
        file["ismrmrd_header"] = "<ismrmrdHeader/>"
        file["reconstruction_rss"] = np.zeros((SLICES, 32, 32), np.float32)
        file.attrs.update({"acquisition": "AXT2", "patient_id": "0" * 64, "max": 1e-3})
    return path, images


def change(path, **datasets):
    with h5py.File(path, "r+") as file:
        for name, values in datasets.items():
            if name in file:
                del file[name]
            file[name] = values


def scaled(truth, image):
    """The magnitude, scaled to fit the truth best."""
    found = np.abs(image)
    return found * np.float32((found * truth).sum() / np.square(found).sum())


@pytest.mark.ranks
def test_a_run_is_closer_than_zero_filled(file):
    path, images = file
    output = path.with_name("result.h5")
    flags = ["--block", "32", "--epochs", "50", "--denoiser", "tv", "--sigma", "5"]
    command = ["run", path, "-o", output, "--threads", "1", "--images", "1:3", *flags]
    done = mpirun(2, sys.executable, "-m", "asyncred", *command, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    for row, truth in enumerate(images[1:3]):
        found = read_result(output, row)
        assert found.truth is None and found.image.dtype == np.complex64
        before, after = (snr(truth, scaled(truth, x)) for x in (found.start, found.image))
        assert after > before + 2, (before, after)


def test_slices_coils_and_columns(file):
    path, _ = file
    problem = read_problem(path, Asked(images=(1, 3), block=32))
    data = problem.data
    assert (problem.kind, problem.shades, problem.has_truth) == ("fastmri", None, False)
    assert problem.grid.shape == SHAPE and problem.images == range(1, 3)
    assert data.groups == COILS and data.mask[0].sum() == 28
    with h5py.File(path) as file:
        k = file["kspace"][2]
    y = data.of(2).y(range(1, 3)).view(np.complex64)
    np.testing.assert_array_equal(y, k[1:3, data.mask])
    s = data.sensitivities([0])[0]
    square = (np.abs(s) ** 2).sum(axis=0)
    np.testing.assert_allclose(square[square > 0], 1, rtol=1e-5)
    assert not np.allclose(data.of(2).sensitivities([0])[0], s, atol=0.1)
    data.check()


def test_the_mask_of_a_test_set_wins(file):
    path, _ = file
    mask = np.zeros(SHAPE[1], np.float32)
    mask[22:35] = 1  # fewer than the file holds, all of them measured
    change(path, mask=mask)
    np.testing.assert_array_equal(read_problem(path).data.mask, np.tile(mask > 0, (64, 1)))


def test_a_single_coil(file):
    path, _ = file
    with h5py.File(path) as file:
        k = file["kspace"][:, 0]
    change(path, kspace=k)
    data = read_problem(path, Asked(block=32)).data
    assert data.groups == 1 and len(data.stack.chosen) == SLICES
    np.testing.assert_array_equal(data.of(1).y(range(1)).view(np.complex64)[0], k[1, data.mask])
    A, P = data.model([0], threads=1), data.phases([0])[0]
    np.testing.assert_allclose(np.abs(P), 1, rtol=1e-5)
    x = data.model([0], threads=1).adjoint(0, data.y(range(1)), None)
    assert np.linalg.norm(x.imag) < 0.5 * np.linalg.norm(x.real)  # its phase is taken off
    assert A.groups == 1


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        (
            {"kspace": np.zeros((3, 64, 56, 2), np.float32)},
            "/kspace is float32 [3, 64, 56, 2], expected complex64 [slices, coils, ky, kx]",
        ),
        (
            {"kspace": np.zeros((64, 56), np.complex64)},
            "/kspace is complex64 [64, 56], expected complex64 [slices, coils, ky, kx]",
        ),
        (
            {"kspace": np.zeros((2, 3, 8, 9), np.complex64)},
            "/kspace is 0 everywhere, expected sampled columns",
        ),
        ({"mask": np.zeros(56)}, "/mask is 0 everywhere, expected sampled columns"),
        ({"mask": np.ones(55)}, "/mask is float64 [55], expected a number for each of the 56"),
        (
            {"mask": np.abs(np.arange(56) - 28) != 3},
            "/kspace has 31 rows and 5 columns sampled about its middle, expected at least 7",
        ),
    ],
)
def test_what_is_wrong(file, datasets, message):
    path, _ = file
    change(path, **datasets)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read_problem(path)


def test_nan_in_the_centre(file):
    path, _ = file
    with h5py.File(path, "r+") as file:
        file["kspace"][0, 1, 32, 28] = np.nan
    message = f"{path}: /kspace: slice 0: its centre holds 1 NaN or Inf, expected finite numbers"
    with pytest.raises(ValueError, match=re.escape(message)):
        read_problem(path).data.model([0], threads=1)
