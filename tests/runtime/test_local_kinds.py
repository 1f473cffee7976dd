"""Deblurring, superresolution and inpainting from the command line: one image from every method."""

import numpy as np
import pytest

import h5py

from asyncred.files.problem import read_problem
from asyncred.files.result import read_result
from asyncred.metrics import snr
from commands import ASYNCRED, reconstruct, simulate
from launch import mpirun
from networks import u_net

TV = ("--denoiser", "tv", "--sigma", "5")
KINDS = {
    "blur": ("--sigma", "1.2"),
    "sr": ("--factor", "2", "--sigma", "0.8"),
    "inpaint": ("--share", "0.5"),
}

THREADS = ("--threads", "1")
pytestmark = pytest.mark.ranks


@pytest.fixture(scope="module", params=KINDS)
def problem(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "problem.h5"
    flags = ("--size", "96", "--block", "32", "--seed", "2")
    return simulate(request.param, path, *flags, *KINDS[request.param])


@pytest.fixture(scope="module")
def serial(problem):
    """The whole image at once, near its fixed point."""
    return reconstruct(problem, 1, *THREADS, *TV, "--method", "gm", "--epochs", "300")


def test_all_methods_agree(problem, serial):
    before, after = (snr(serial.truth, x) for x in (serial.start, serial.image))
    assert after > before + 0.4
    for ranks, method in ((1, "async"), (2, "async"), (4, "async"), (2, "sync")):
        found = reconstruct(problem, ranks, *THREADS, *TV, "--method", method, "--epochs", "200")
        assert snr(serial.image, found.image) > 35, (ranks, method)
        assert found.column("distance")[-1] < 1e-3, (ranks, method)


def test_a_blur_wider_than_a_block(tmp_path):
    """Blocks of 12 pixels, a kernel of 19: A looks beyond the next block."""
    path = simulate("blur", tmp_path / "p.h5", "--size", "48", "--block", "12", "--sigma", "3")
    flags = (*TV, "--tau", "0.5", "--epochs", "150")
    serial = reconstruct(path, 1, *THREADS, *flags, "--method", "gm")
    found = reconstruct(path, 4, *THREADS, *flags)
    assert snr(serial.image, found.image) > 35
    assert found.column("distance")[-1] < 1e-4


def test_windows_aligned_to_strides(problem, tmp_path):
    """A denoiser with strides wants other windows than A: G by blocks is still G of the whole."""
    network = ("--denoiser", u_net(tmp_path / "u.onnx"), "--tau", "0.05", "--epochs", "20")
    serial = reconstruct(problem, 1, *THREADS, *network, "--method", "gm", "--step", "0.5")
    blocks = reconstruct(problem, 2, *THREADS, *network, "--method", "sync", "--step", "0.5")
    assert blocks.column("distance")[-1] == pytest.approx(serial.column("distance")[-1], rel=0.2)
    assert snr(serial.image, blocks.image) > 35


def test_minibatches(problem, serial):
    flags = ("--minibatch", "250", "--decay", "5", "--epochs", "60")
    found = reconstruct(problem, 2, *THREADS, *TV, *flags)
    assert snr(serial.image, found.image) > snr(serial.image, found.start) + 1.5


def test_a_stack_has_the_starts_of_its_images(problem):
    stacked = problem.with_name("stack.h5")
    stacked.write_bytes(problem.read_bytes())
    with h5py.File(stacked, "r+") as file:
        y, x = file["measurements/y"][:], file["truth"][:]
        del file["measurements/y"], file["truth"]
        file["measurements/y"] = np.stack([y, y / 2])
        file["truth"] = np.stack([x, x / 2])
    reconstruct(stacked, 2, *THREADS, *TV, "--epochs", "3")
    whole, half = (read_result(stacked.with_name("result.h5"), row) for row in (0, 1))
    np.testing.assert_allclose(half.start, whole.start / 2, atol=1e-5)
    assert whole.provenance["parameters"]["start"] == next(iter(read_problem(stacked).data.starts))


def test_wrong_flags(problem):
    most = read_problem(problem).data.groups
    for flags, message in (
        (["--start", "fbp"], "--start is 'fbp', expected "),
        (["--minibatch", str(most + 1)], f"expected at most {most} (measurements)"),
    ):
        command = ["run", problem, "-o", problem.with_name("none.h5"), *TV, *flags]
        done = mpirun(2, *ASYNCRED, *command, timeout=60)
        assert done.returncode == 2 and message in done.stderr
        assert done.stderr.count("asyncred: ") == 1
    assert not problem.with_name("none.h5").exists()
