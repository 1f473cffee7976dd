"""The noise of y, by kind, and the weight that follows from it."""

import numpy as np
import pytest

import h5py

from asyncred.files.problem import read_problem
from asyncred.files.problem.kinds import Prior
from commands import simulate
from scans import object_slices, scan, write_data_exchange


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """128x128: discs on a slope, values about 0.5."""
    path = tmp_path_factory.mktemp("image") / "discs.npy"
    x = object_slices(128, 1)[0]
    slope = np.add.outer(np.arange(128), np.arange(128)) / 512
    np.save(path, (0.25 + 0.4 * x / x.max() + slope).astype(np.float32))
    return path


def noise_of(image, path, kind, *flags):
    simulate(kind, path, "--image", image, "--block", "64", *flags)
    return read_problem(path).noise()


def rms(image):
    return float(np.sqrt(np.mean(np.square(np.load(image)))))


@pytest.mark.parametrize("kind", [("blur",), ("sr",), ("inpaint", "--share", "0.5")])
@pytest.mark.parametrize("sigma", [4, 25])
def test_of_pixels(image, tmp_path, kind, sigma):
    found = noise_of(image, tmp_path / "p.h5", *kind, "--noise", sigma)
    assert found == pytest.approx(sigma / 255 / rms(image), rel=0.15)


@pytest.mark.parametrize("kind", ["ct", "fan"])
def test_of_line_integrals(image, tmp_path, kind):
    """The root mean square; as much less as there are more of them than pixels."""
    path = tmp_path / "p.h5"
    found = noise_of(image, path, kind, "--photons", "1e3", "--views", "200")
    with h5py.File(path) as file:
        y = file["measurements/y"][()]
    sigma = np.sqrt(np.mean(np.exp(y)) / 1e3)
    expected = sigma / np.sqrt(np.mean(y**2)) * np.sqrt(128**2 / y.size)
    assert found == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("snr", [10, 20])
def test_of_k_space(image, tmp_path, snr):
    path = tmp_path / "p.h5"
    found = noise_of(image, path, "mri", "--noise-snr", snr)
    with h5py.File(path) as file:
        coils, samples = len(file["operator/coils"]), file["operator/mask"][()].sum()
    expected = 10 ** (-snr / 20) * np.sqrt(128**2 / samples / coils)
    assert found == pytest.approx(expected, rel=0.2)


def test_of_counts(tmp_path):
    """More with fewer photons, as the inverse of their root."""
    found = []
    for k, gain in enumerate((1e4, 400)):
        path = tmp_path / f"{k}.h5"
        write_data_exchange(path, scan(gain=gain))
        found.append(read_problem(path).noise())
    assert found[1] / found[0] == pytest.approx(5, rel=0.3)


def test_of_a_stack_it_is_the_median(image, tmp_path):
    path = tmp_path / "p.h5"
    simulate("blur", path, "--image", image, "--block", "64", "--noise", "5")
    with h5py.File(path, "r+") as file:
        y = file["measurements/y"][()]
        del file["measurements/y"], file["truth"]
        file["measurements/y"] = np.stack([0 * y, y, 9 * y])
    assert read_problem(path).noise() == pytest.approx(5 / 255 / rms(image), rel=0.15)


def test_where_y_does_not_tell_it(image, tmp_path):
    assert noise_of(image, tmp_path / "cs.h5", "cs") is None
    assert noise_of(image, tmp_path / "p.h5", "inpaint", "--share", "0.01") is None


def test_without_noise(image, tmp_path):
    assert noise_of(image, tmp_path / "p.h5", "blur", "--noise", "0") < 2e-4


def test_the_weight():
    """The power 3/2 of the noise over that of the denoiser, between two ends."""
    prior = Prior()
    half = 10 / 127.5
    assert prior.weight(10, half) == pytest.approx(0.25)
    assert prior.weight(10, 4 * half) == pytest.approx(8 * 0.25)
    assert prior.weight(40, 4 * half) == pytest.approx(0.25)
    assert prior.weight(None, half) == prior.weight(10, half)
    assert prior.weight(10, 0) == prior.least and prior.weight(10, 99) == 8
    assert prior.weight(10, None) == prior.tau
    assert Prior(0.8, "fast-s5", 5).weight(20, None) == pytest.approx(0.1)
