"""The Python API: the image that the command gives, on one process, on ranks, without MPI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import asyncred
from asyncred.denoisers.potential import write_potential
from asyncred.denoisers.shipped import find_model
from asyncred.files.result import read_result
from commands import several, simulate
from launch import mpirun
from networks import smoothing

SMALL = ("--size", "64", "--block", "32")
RUN = ("--epochs", "4", "--threads", "1", "--draft", "none")

CS = """
import h5py, numpy as np, asyncred
from asyncred.operators.block_random import draw_matrix
with h5py.File("problem.h5") as file:
    y = file["measurements/y"][:]
A = np.stack([draw_matrix(0, i, y.shape[1], 32 * 32) for i in range(4)])
problem = asyncred.compressive_sensing(A, shape=(64, 64), block=(32, 32))
found = asyncred.solve(y, problem, epochs=4, threads=1, draft="none")
"""

CT = """
import h5py, numpy as np, asyncred
with h5py.File("problem.h5") as file:
    y, angles = file["measurements/y"][:], file["operator/angles"][:]
    pixel = file["operator"].attrs["pixel"]
problem = asyncred.parallel_beam(angles, shape=(64, 64), pixel=pixel)
found = asyncred.solve(y, problem, block=32, epochs=4, threads=1, draft="none")
"""

FAN = """
import h5py, numpy as np, asyncred
with h5py.File("problem.h5") as file:
    y, angles = file["measurements/y"][:], file["operator/angles"][:]
    said = file["operator"].attrs
    lengths = {name: said[name] for name in ("source_axis", "axis_detector", "spacing", "pixel")}
geometry = asyncred.FanGeometry(**lengths, detector="curved")
problem = asyncred.fan_beam(angles, geometry, shape=(64, 64))
found = asyncred.solve(y, problem, block=32, epochs=4, threads=1, draft="none")
"""

MRI = """
import h5py, numpy as np, asyncred
with h5py.File("problem.h5") as file:
    y = file["measurements/y"][:]
    problem = asyncred.cartesian_mri(file["operator/mask"][:], coils=file["operator/coils"][:])
found = asyncred.solve(y, problem, block=32, epochs=4, threads=1, draft="none")
"""

OWN = """
import h5py, numpy as np, asyncred
from asyncred.operators import ParallelBeam
with h5py.File("problem.h5") as file:
    y, angles = file["measurements/y"][:], np.radians(file["operator/angles"][:])
    pixel = file["operator"].attrs["pixel"]
def make(grid, blocks):
    return ParallelBeam(grid, angles, y.shape[1], pixel=pixel, threads=1)
problem = asyncred.forward_model(make, shape=(64, 64))
found = asyncred.solve(y, problem, block=32, epochs=4, threads=1, draft="none", start="adjoint")
"""

SAVE = """
import sys
from asyncred.runtime.comm import world
assert (found.verdict, found.stopped) == ("not converged", "budget"), found.stopped
np.save(f"image-{sys.argv[1]}-{world().rank}.npy", found.image)
"""

BLOCKED = """
import sys
sys.modules["mpi4py"] = None
"""

KINDS = {
    "cs": (CS, SMALL, ()),
    "ct": (CT, (*SMALL, "--views", "30"), ()),
    "fan": (FAN, (*SMALL, "--views", "50", "--detector", "curved"), ()),
    "mri": (MRI, (*SMALL, "--coils", "3"), ()),
    "own": (OWN, (*SMALL, "--views", "30"), ("--start", "adjoint", "--tau", "0.1")),
}


ALL = """
import os, runpy
for kind in {kinds}:
    os.chdir(os.path.join({folder!r}, kind))
    runpy.run_path("{name}.py")
"""


def call(folder: Path, name: str, before: str = "", *, ranks: int = 0) -> dict[str, np.ndarray]:
    """The image that the script of each kind saves, one after another in the same processes.

    Started without mpirun where ``ranks`` is 0.
    """
    for kind, (script, _, _) in KINDS.items():
        (folder / kind / f"{name}.py").write_text(script + SAVE)
    program = folder / f"{name}.py"
    program.write_text(before + ALL.format(kinds=list(KINDS), folder=str(folder), name=name))
    command = [sys.executable, program, name]
    if ranks:
        done = mpirun(ranks, *command, timeout=120)
    else:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for kind in KINDS:
        saved = sorted((folder / kind).glob(f"image-{name}-*.npy"))
        assert len(saved) == max(1, ranks)
        found[kind], *others = (np.load(path) for path in saved)
        for image in others:  # every rank has the answer
            np.testing.assert_array_equal(image, found[kind])
    return found


@pytest.mark.ranks
def test_the_same_image_as_the_command(tmp_path):
    commands = []
    for kind, (script, flags, more) in KINDS.items():
        assert len(script.strip().splitlines()) <= 15
        folder = tmp_path / kind
        folder.mkdir()
        problem = simulate("ct" if kind == "own" else kind, folder / "problem.h5", *flags)
        commands.append(["run", problem, "-o", folder / "result.h5", *RUN, *more])
    ends = several(1, *commands)
    assert [code for code, _ in ends] == [0] * len(commands), ends
    alone, blocked = call(tmp_path, "alone"), call(tmp_path, "blocked", BLOCKED)
    two = call(tmp_path, "two", ranks=2)
    for kind in KINDS:
        expected = read_result(tmp_path / kind / "result.h5").image
        np.testing.assert_array_equal(alone[kind], expected, err_msg=kind)
        np.testing.assert_array_equal(blocked[kind], expected, err_msg=kind)
        error = np.linalg.norm(two[kind] - expected)
        assert error < 0.2 * np.linalg.norm(expected), kind  # after four epochs


def blurred(images=()):
    """Measurements, a problem and the truth; with a leading axis of so many images."""
    truth = np.random.default_rng(0).random((*images, 32, 32), dtype=np.float32)
    kernel = np.zeros((3, 3), np.float32)
    kernel[1, 1] = 1
    return truth, asyncred.convolution(kernel, shape=(32, 32)), truth


def test_a_stack():
    y, problem, truth = blurred((3,))
    found = asyncred.solve(y, problem, "tv", truth=truth, block=16, epochs=2, threads=1)
    assert found.image.shape == (3, 32, 32) and len(found.records) == 3
    alone = asyncred.solve(y[1], problem, "tv", block=16, epochs=2, threads=1)
    assert alone.image.shape == (32, 32) and np.isnan(alone.history[-1].snr)
    assert found.history[-1].snr > 5


def test_a_callback_sees_samples_and_stops_the_run():
    y, problem, _ = blurred()
    seen = []

    def enough(sample):
        seen.append(sample)
        return len(seen) == 2

    found = asyncred.solve(
        y, problem, "tv", block=16, epochs=1e6, tol=0, threads=1, report=1e-3, callback=enough
    )
    assert found.stopped == "callback" and found.verdict == "not converged"
    assert seen[1].updates > seen[0].updates and found.history[-1].updates < 4e5


def test_a_run_that_converges():
    y, problem, _ = blurred()
    found = asyncred.solve(y, problem, "tv", block=16, tol=1e-3, epochs=1000, report=1e-2)
    assert (found.verdict, found.stopped) == ("converged", "tolerance")
    assert found.parameters["denoiser"] == "tv" and found.parameters["mu"] > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y": np.zeros((5, 5))}, r"arrays: /measurements/y is float32 \[5, 5\], expected"),
        ({"denoiser": "fast-s6"}, "fast-s6: no such file, nor a shipped .*; did you mean fast-s5"),
        ({"tau": -1}, "tau is -1, expected a number >= 0"),
        ({"epoch": 3}, "epoch: unknown key; did you mean epochs"),
    ],
)
def test_wrong_input(changes, words):
    y, problem, _ = blurred()
    with pytest.raises(asyncred.InputError, match=words):
        asyncred.solve(**{"y": y, "operator": problem, **changes})


def test_files(tmp_path):
    problem = simulate("blur", tmp_path / "problem.h5", *SMALL)
    output = tmp_path / "result.h5"
    result = asyncred.run(problem, output, epochs=2, threads=1)
    np.testing.assert_array_equal(result.image, asyncred.read_result(output).image)
    with pytest.raises(asyncred.InputError, match="exists; --overwrite replaces it"):
        asyncred.run(problem, output)


def test_a_denoiser_by_name():
    D = asyncred.load_denoiser("tv", sigma=10)
    x = np.random.default_rng(0).random((40, 50), dtype=np.float32)
    assert D(x).shape == x.shape and np.ptp(D(x)) < np.ptp(x)


def test_public_names():
    assert {"solve", "run", "parallel_beam", "fan_beam", "FanGeometry"} <= set(dir(asyncred))
    with pytest.raises(AttributeError, match="no attribute 'solv'"):
        _ = asyncred.solv


def test_the_objective_of_a_denoiser_with_a_potential(tmp_path):
    """F = 1/2 ||A x - y||^2 + tau p(x), summed over blocks, which falls."""
    D = tmp_path / "D.onnx"
    write_potential(find_model(str(smoothing(tmp_path / "N.onnx"))), D, name="D")
    y, problem, _ = blurred()
    settings = {"tau": 0.1, "block": 16, "epochs": 60, "momentum": 0, "report": 1e-3}
    found = asyncred.solve(y, problem, str(D), **settings)
    F = np.array([sample.objective for sample in found.history])
    assert len(F) > 5 and (np.diff(F) <= 1e-4 * F[0]).all() and F[-1] < 0.999 * F[0]
    _, p = asyncred.load_denoiser(D).with_potential(found.image)
    exact = 0.5 * np.sum((found.image - y) ** 2) + 0.1 * p.sum()  # the kernel is 1 in its middle
    assert F[-1] == pytest.approx(exact, rel=1e-3)
    assert np.isnan(asyncred.solve(y, problem, "tv", block=16, epochs=1).history[-1].objective)
