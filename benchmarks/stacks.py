"""A dataset of 64 images on four ranks, killed half-way and resumed; the memory of a rank.

240x240 pixels each, 9 blocks of 80x80, inpainting with total variation; one rank an image, so that
every image is what it is in a run that was not cut, bit for bit.

    python benchmarks/stacks.py [--images 64]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import h5py

from asyncred.files.result import read_result
from common import ASYNCRED, ENVIRONMENT, call, mpirun, simulate, table

RANKS = 4
FLAGS = ("--denoiser", "tv", "--sigma", "5", "--epochs", "60", "--ranks-per-image", "1")
PEAK = """
import json, resource, sys
from mpi4py import MPI
from asyncred.runtime.app import run
from asyncred.runtime.config import load_config
problem, output = sys.argv[1:3]
flags = {"problem": problem, "output": output, "overwrite": True, "denoiser": "tv", "sigma": 5}
run(load_config({**flags, "epochs": 5, "ranks_per_image": 1}, None), MPI.COMM_WORLD)
peak = MPI.COMM_WORLD.gather(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
if MPI.COMM_WORLD.rank == 0:
    print(json.dumps(peak))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        single = simulate(folder / "one.h5", "--size", "240", kind="inpaint")
        peaks = {}
        for images in (8, options.images):
            problem = stack(single, folder / f"{images}.h5", images)
            program = (sys.executable, "-c", PEAK, problem, folder / "p.h5")
            out = call(mpirun(), "-n", str(RANKS), *program)
            peaks[images] = max(json.loads(out.splitlines()[-1]))
        whole, cut = folder / "whole.h5", folder / "cut.h5"
        launch(problem, whole).wait()
        killed = kill_half_way(problem, cut, options.images)
        launch(problem, cut, "--resume", folder / "c.h5").wait()
        rows = compare(whole, cut, options.images)
    rows.insert(0, ["complete when killed", f"{killed} of {options.images}"])
    rows += [
        [f"peak of a rank, {images} images, MiB", f"{peak:.0f}"] for images, peak in peaks.items()
    ]
    print(table(["", ""], rows))


def stack(single: Path, path: Path, images: int) -> Path:
    """The problem, each image with noise of its own."""
    rng = np.random.default_rng(0)
    with h5py.File(single) as source, h5py.File(path, "w") as file:
        for name in source:
            source.copy(name, file)
        file.attrs.update(source.attrs)
        y, x = file["measurements/y"][:], file["truth"][:]
        del file["measurements/y"], file["truth"]
        noise = rng.standard_normal((images, *y.shape), np.float32)
        file["measurements/y"] = y + np.float32(2 / 255) * noise
        file["truth"] = np.broadcast_to(x, (images, *x.shape))
    return path


def launch(problem: Path, output: Path, *flags: str | Path) -> subprocess.Popen[bytes]:
    """A run of the stack."""
    command = [mpirun(), "-n", RANKS, *ASYNCRED, "run", problem, "-o", output, *FLAGS, *flags]
    return subprocess.Popen(
        [str(part) for part in command],
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_half_way(problem: Path, output: Path, images: int) -> int:
    """SIGKILL to the whole job once half of the images are there; how many were."""
    job = launch(problem, output, "--checkpoint", output.with_name("c.h5"))
    while not output.exists() or done(output) < images // 2:
        time.sleep(0.02)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    return done(output)


def done(path: Path) -> int:
    """Images that are complete."""
    with h5py.File(path) as file:
        return int(file["entry/complete"][:].sum())


def compare(whole: Path, cut: Path, images: int) -> list[list[str]]:
    """The resumed result against that of the run that was not cut."""
    same = once = 0
    for row in range(images):
        expected, found = read_result(whole, row), read_result(cut, row)
        same += np.array_equal(expected.image, found.image)
        once += int(found.per_block.sum()) == 60 * 9
    return [
        ["complete after the resumed run", f"{done(cut)} of {images}"],
        ["of exactly the updates asked for", f"{once} of {images}"],
        ["bit for bit those of the uncut run", f"{same} of {images}"],
    ]


main()
