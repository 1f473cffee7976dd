"""MRI from the command line: simulate, run, and the same image from every method."""

import numpy as np
import pytest

import h5py

from asyncred.files.result import read_result
from asyncred.metrics import snr
from commands import reconstruct, reconstruct_all, refused, simulate

FLAGS = ["--denoiser", "tv", "--sigma", "5", "--tau", "0.3", "--threads", "1"]


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = tmp_path_factory.mktemp("mri") / "problem.h5"
    flags = ["--size", "48", "--block", "24", "--coils", "4", "--acceleration", "2"]
    return simulate("mri", path, *flags, "--seed", "2")


@pytest.mark.ranks
def test_all_methods_agree(problem):
    flags = (*FLAGS, "--epochs", "80", "--method")
    serial, *one = reconstruct_all(problem, 1, *((*flags, name) for name in ("gm", "async", "bc")))
    two = reconstruct_all(problem, 2, (*flags, "async"), (*flags, "sync"))
    four = reconstruct_all(problem, 4, (*flags, "async"))
    assert serial.image.dtype == np.complex64
    assert snr(serial.truth, serial.image) > snr(serial.truth, serial.start) + 3
    for found in (*one, *two, *four):
        said = (found.provenance["ranks"], found.provenance["parameters"]["method"])
        assert snr(serial.image, found.image) > 50, said
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


@pytest.mark.ranks
def test_wrong_flags(problem):
    output = problem.with_name("none.h5")
    expected = {
        "--start is 'fbp', expected zero-filled, adjoint, zero": ("--start", "fbp"),
        "--minibatch is 5, expected at most 4": ("--minibatch", "5"),
    }
    commands = (("run", problem, "-o", output, *FLAGS, *more) for more in expected.values())
    for message, line in zip(expected, refused(1, *commands), strict=True):
        assert message in line
    assert not output.exists()
