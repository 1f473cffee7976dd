"""MRI from the command line: simulate, run, and the same image from every method."""

import numpy as np
import pytest

import h5py

from asyncred.files.result import read_result
from asyncred.metrics import snr
from commands import ASYNCRED, reconstruct, simulate
from launch import mpirun

FLAGS = ["--denoiser", "tv", "--sigma", "5", "--tau", "0.3", "--threads", "1"]


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = tmp_path_factory.mktemp("mri") / "problem.h5"
    flags = ["--size", "64", "--block", "32", "--coils", "4", "--acceleration", "2"]
    return simulate("mri", path, *flags, "--seed", "2")


@pytest.mark.ranks
def test_all_methods_agree(problem):
    serial = reconstruct(problem, 1, *FLAGS, "--method", "gm", "--epochs", "80")
    assert serial.image.dtype == np.complex64
    assert snr(serial.truth, serial.image) > snr(serial.truth, serial.start) + 3
    for ranks, method in ((1, "async"), (2, "async"), (4, "async"), (2, "sync"), (1, "bc")):
        found = reconstruct(problem, ranks, *FLAGS, "--method", method, "--epochs", "80")
        assert snr(serial.image, found.image) > 35, (ranks, method)
        assert abs(found.column("snr")[-1] - snr(found.truth, found.image)) < 0.01
        drift = found.provenance["residual_drift"]
        assert len(drift) == 2 and max(drift) < 1e-5, drift


@pytest.mark.ranks
def test_what_is_written_is_the_image_itself(problem):
    """The phase that was taken off for the denoiser is back in start, truth and result."""
    with h5py.File(problem) as file:
        truth, y, coils = (file[name][:] for name in ("truth", "measurements/y", "operator/coils"))
    first = reconstruct(problem, 2, *FLAGS, "--epochs", "5")
    np.testing.assert_allclose(first.truth, truth, atol=1e-6)
    shifted = np.fft.ifft2(np.fft.ifftshift(y, axes=(1, 2)), norm="ortho")
    zero_filled = (coils.conj() * np.fft.fftshift(shifted, axes=(1, 2))).sum(axis=0)
    np.testing.assert_allclose(first.start, zero_filled, atol=1e-5)
    kept = problem.with_name("first.h5")
    kept.write_bytes(first.path.read_bytes())
    second = reconstruct(problem, 1, *FLAGS, "--epochs", "1", "--start", str(kept))
    np.testing.assert_allclose(second.start, first.image, atol=1e-6)


@pytest.mark.ranks
def test_images_of_a_stack_are_those_of_their_own_files(problem, tmp_path):
    """Each with its own phase: the second is another image, turned by a quarter."""
    with h5py.File(problem) as file:
        y, truth = file["measurements/y"][:], file["truth"][:]
    stacked = tmp_path / "stack.h5"
    stacked.write_bytes(problem.read_bytes())
    with h5py.File(stacked, "r+") as file:
        del file["measurements/y"], file["truth"]
        file["measurements/y"] = np.stack([0.5j * y, y])
        file["truth"] = np.stack([0.5j * truth, truth])
    alone = reconstruct(problem, 1, *FLAGS, "--method", "bc", "--epochs", "10")
    second = reconstruct(stacked, 1, *FLAGS, "--method", "bc", "--epochs", "10", row=1)
    np.testing.assert_allclose(second.image, alone.image, atol=2e-5)
    first = read_result(second.path, 0)
    np.testing.assert_allclose(first.start, 0.5j * alone.start, atol=1e-5)
    np.testing.assert_allclose(first.truth, 0.5j * truth, atol=1e-6)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--start", "fbp"], "--start is 'fbp', expected zero-filled, adjoint, zero"),
        (["--minibatch", "5"], "--minibatch is 5, expected at most 4"),
    ],
)
def test_wrong_flags(problem, flags, message):
    command = ["run", problem, "-o", problem.with_name("none.h5"), *FLAGS, *flags]
    done = mpirun(1, *ASYNCRED, *command, timeout=60)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert not problem.with_name("none.h5").exists()
