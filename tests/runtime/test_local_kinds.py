"""Deblurring, superresolution and inpainting from the command line: one image from every method."""

import numpy as np
import pytest

import h5py

from asyncred.files.problem import read_problem
from asyncred.files.result import read_result
from asyncred.metrics import snr
from commands import reconstruct, reconstruct_all, refused, simulate
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
    flags = ("--size", "48", "--block", "16", "--seed", "2")
    return simulate(request.param, path, *flags, *KINDS[request.param])


@pytest.fixture(scope="module")
def alone(problem):
    """On one rank: the whole image at once, near its fixed point, and by blocks."""
    flags = (*THREADS, *TV)
    whole = (*flags, "--method", "gm", "--epochs", "300")
    return reconstruct_all(problem, 1, whole, (*flags, "--epochs", "100"))


@pytest.fixture(scope="module")
def serial(alone):
    return alone[0]


@pytest.fixture(scope="module")
def two(problem):
    """On two ranks: asynchronously, in step, and by minibatches."""
    flags = (*THREADS, *TV, "--epochs")
    sync = (*flags, "150", "--method", "sync")
    minibatches = (*flags, "60", "--minibatch", "60", "--decay", "5")
    return reconstruct_all(problem, 2, (*flags, "100"), sync, minibatches)


def test_all_methods_agree(problem, alone, two):
    serial, one = alone
    before, after = (snr(serial.truth, x) for x in (serial.start, serial.image))
    assert after > before + 0.4
    four = reconstruct(problem, 4, *THREADS, *TV, "--epochs", "100")
    for found in (one, *two[:2], four):
        said = (found.provenance["ranks"], found.provenance["parameters"]["method"])
        assert snr(serial.image, found.image) > (35 if said[1] == "sync" else 45), said
        assert found.column("distance")[-1] < 1e-3, said


def test_a_blur_wider_than_a_block(tmp_path):
    """Blocks of 12 pixels, a kernel of 19: A looks beyond the next block."""
    path = simulate("blur", tmp_path / "p.h5", "--size", "48", "--block", "12", "--sigma", "3")
    flags = (*TV, "--tau", "0.5")
    serial = reconstruct(path, 1, *THREADS, *flags, "--method", "gm", "--epochs", "150")
    found = reconstruct(path, 4, *THREADS, *flags, "--epochs", "80")
    assert snr(serial.image, found.image) > 35
    assert found.column("distance")[-1] < 1e-4


def test_windows_aligned_to_strides(problem, tmp_path):
    """A denoiser with strides wants other windows than A: G by blocks is still G of the whole."""
    # Of four blocks each rank has two: in 20 epochs every block is updated as often as the whole.
    network = ("--denoiser", u_net(tmp_path / "u.onnx"), "--tau", "0.05", "--epochs", "20")
    network = (*network, "--block", "24")
    serial = reconstruct(problem, 1, *THREADS, *network, "--method", "gm", "--step", "0.5")
    blocks = reconstruct(problem, 2, *THREADS, *network, "--method", "sync", "--step", "0.5")
    assert blocks.column("distance")[-1] == pytest.approx(serial.column("distance")[-1], rel=0.2)
    assert snr(serial.image, blocks.image) > 35


def test_minibatches(serial, two):
    found = two[2]
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
    most, output = read_problem(problem).data.groups, problem.with_name("none.h5")
    expected = {
        "--start is 'fbp', expected ": ("--start", "fbp"),
        f"expected at most {most} (measurements)": ("--minibatch", str(most + 1)),
    }
    commands = (("run", problem, "-o", output, *TV, *more) for more in expected.values())
    for message, line in zip(expected, refused(1, *commands), strict=True):
        assert message in line
    assert not output.exists()
