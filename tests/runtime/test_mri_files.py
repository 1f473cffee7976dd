"""Raw MRI files from the command line: what was found stands in result, run and show."""

import numpy as np
import pytest

import h5py

from asyncred.files.result import read_result
from asyncred.metrics import against, snr, ssim
from commands import ASYNCRED, reconstruct
from launch import mpirun
from scanner import columns, header, scan, write_fastmri

FLAGS = ["--denoiser", "tv", "--sigma", "5", "--tau", "0.1", "--threads", "1", "--epochs", "25"]


@pytest.mark.ranks
def test_slices_of_different_masks_with_a_noisy_and_a_dead_coil(tmp_path):
    rng = np.random.default_rng(8)
    k, truth = scan(rng, coils=6, height=0.4, noise=0.01)
    k[:, 2] += 0.3 * (rng.standard_normal(k[:, 2].shape) + 1j * rng.standard_normal(k[:, 2].shape))
    k[:, 4] = np.nan
    masks = np.array([columns(48), columns(48, 3)])
    path = write_fastmri(
        tmp_path / "file1000.h5",
        k * masks[:, None, None],
        ismrmrd_header=header(64, 48, 32),
        reconstruction_rss=3e-5 * truth[:, 16:48, 4:44],
    )
    reconstruct(path, 2, *FLAGS, "--block", "24", "--ranks-per-image", "2")
    for row in (0, 1):
        found = read_result(path.with_name("result.h5"), row)
        assert found.image.shape == (32, 48)
        level, similarity = against(truth[row, 16:48], found.image)
        assert level > 20 and similarity > 0.85, (row, level, similarity)
        told = found.provenance
        assert told["reference_snr"] == pytest.approx(
            against(truth[row, 16:48, 4:44], found.image)[0], abs=1e-3
        )
        notes = " ".join(told["notes"])
        for words in ("coil 4 is 0 or NaN", "coil 2 has", "cut to the 32 rows"):
            assert words in notes
        assert max(told["residual_drift"]) < 1e-4
    shown = mpirun(1, *ASYNCRED, "show", found.path, timeout=60)
    assert "SSIM" in shown.stdout and "to the reference image in the file" in shown.stdout


def test_wrong_slices_and_noise_are_one_line(tmp_path):
    k, _ = scan(np.random.default_rng(0), slices=3)
    k[1] = 0
    path, other = write_fastmri(tmp_path / "scan.h5", k), tmp_path / "noise.h5"
    with h5py.File(other, "w") as file:
        file["noise"] = np.ones((3, 100), np.complex64)
    for flags, message in (
        ([], "/kspace is 0 everywhere in slice 1"),
        (["--images", "2", "--noise-scan", str(other)], "noise of 3 coils, expected that of the 4"),
    ):
        command = ["run", path, "-o", tmp_path / "result.h5", *FLAGS, *flags]
        done = mpirun(1, *ASYNCRED, *command, timeout=60)
        assert done.returncode == 2 and message in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1


def test_similarity():
    rng = np.random.default_rng(1)
    picture = rng.random((40, 30), np.float32)
    assert ssim(picture, picture) == pytest.approx(1)
    assert ssim(picture, picture[::-1]) < 0.2
    assert np.isnan(ssim(picture[:5], picture[:5]))
    level, similarity = against(picture[5:35], 7j * picture)
    assert level > 100 and similarity == pytest.approx(1)
    noisy = picture + np.float32(0.1) * rng.standard_normal((40, 30), np.float32)
    assert against(picture, noisy)[0] == pytest.approx(snr(picture, noisy), abs=0.5)
    assert np.isnan(against(np.zeros((9, 9), np.float32), picture)).all()


def test_a_result_without_reference(tmp_path):
    k, _ = scan(np.random.default_rng(0), slices=1)
    path = write_fastmri(tmp_path / "scan.h5", k)
    found = reconstruct(path, 1, *FLAGS, "--epochs", "2", "--block", "32")
    assert np.isnan(found.provenance["reference_snr"])
    assert read_result(found.path).image.shape == (64, 48)
