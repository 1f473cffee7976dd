"""What the benchmarks share: a problem, a run under mpirun, a table in Markdown."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from asyncred.files.result import Result, read_result

# Open MPI asks for these as root, or with more ranks than cores.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
PEAK = """
import json, resource, sys
from pathlib import Path
from mpi4py import MPI
from asyncred.runtime.app import run
from asyncred.runtime.config import RunConfig
problem, output = map(Path, sys.argv[1:3])
flags = json.loads(sys.argv[3])
config = RunConfig.from_values(
    problem=problem, output=output, overwrite=True, threads=1, **flags
)
run(config, MPI.COMM_WORLD)
peak = MPI.COMM_WORLD.gather(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
if MPI.COMM_WORLD.rank == 0:
    print(json.dumps(peak))
"""
ASYNCRED = (sys.executable, "-m", "asyncred")


def mpirun() -> str:
    """The mpirun beside this Python, else the one on PATH."""
    found = shutil.which("mpirun", path=Path(sys.executable).parent) or shutil.which("mpirun")
    if found is None:
        raise SystemExit("no mpirun: pip install mpich")
    return found


def call(*command: str | Path) -> str:
    """Run a command; its standard output. Ends the benchmark where it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def timed(command: Sequence[object], *, threads: int) -> tuple[float, float]:
    """Run a command; its seconds, and the peak of the largest of its processes in MiB.

    ``threads`` is what OpenMP and BLAS are told. Ends the benchmark where the command fails.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | ENVIRONMENT | dict.fromkeys(names, str(threads))
    parts = [str(part) for part in command]
    with tempfile.TemporaryFile("w+") as said:
        start = time.perf_counter()
        process = subprocess.Popen(parts, env=environment, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            raise SystemExit(f"{command}: exit code {process.returncode}\n{said.read()}")
    return seconds, usage.ru_maxrss / 1024


def simulate(path: Path, *flags: object, kind: str = "cs") -> Path:
    """A problem; by default compressive sensing of the camera photograph, in blocks of 80x80."""
    call(*ASYNCRED, "simulate", kind, path, "--overwrite", *map(str, flags))
    return path


def head_slice(folder: Path) -> Path:
    """The CT head among pydicom's test files, 512x512, -1000 to 1000 HU, as an .npy file."""
    import pydicom

    spec = find_spec("pydicom")
    assert spec is not None and spec.origin is not None
    file = pydicom.dcmread(Path(spec.origin).parent / "data/test_files/J2K_pixelrep_mismatch.dcm")
    hounsfield = file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept)
    image = np.clip((hounsfield + 1000) / 2000, 0, 1).astype(np.float32)
    np.save(folder / "head.npy", image)
    return folder / "head.npy"


def photograph(name: str, path: Path) -> Path:
    """The middle square of one of scikit-image's, gray, 240x240, as an .npy file."""
    from skimage import color, data, transform

    picture = getattr(data, name)()
    gray = picture / 255 if picture.ndim == 2 else color.rgb2gray(picture)
    side = min(gray.shape)
    top, left = ((length - side) // 2 for length in gray.shape)
    square = gray[top : top + side, left : left + side]
    np.save(path, transform.resize(square, (240, 240), anti_aliasing=True).astype(np.float32))
    return path


def gray_picture(name: str, side: int, folder: Path) -> Path:
    """One of scikit-image's, gray, its longer side scaled to ``side`` pixels, as a PNG file."""
    from PIL import Image as pillow
    from skimage import data

    gray = pillow.fromarray(getattr(data, name)()).convert("L")
    scale = side / max(gray.size)
    size = tuple(round(scale * length) for length in gray.size)
    gray.resize(size, pillow.Resampling.LANCZOS).save(folder / f"{name}.png")
    return folder / f"{name}.png"


def reconstruct(
    ranks: int, problem: Path, *flags: str, launcher: Sequence[str | Path] | None = None
) -> Result:
    """Run and read the result. ``launcher`` replaces ``mpirun -n ranks``."""
    output = problem.with_name("result.h5")
    start = launcher or (mpirun(), "-n", str(ranks))
    call(*start, *ASYNCRED, "run", problem, "-o", output, "--overwrite", *flags)
    return read_result(output)


def peak_of(problem: Path, ranks: int, **flags: object) -> float:
    """The largest rank's peak, MiB, in a run with one thread a rank whose result is r.h5."""
    program = (sys.executable, "-c", PEAK, problem, problem.with_name("r.h5"), json.dumps(flags))
    out = call(mpirun(), "-n", str(ranks), *program)
    return float(max(json.loads(out.splitlines()[-1])))


def star_of(problem: Path, kept: Path, *flags: str) -> Result:
    """x*: GM-RED on one core to a step of 1e-6 an epoch, or what was kept of it."""
    if not kept.exists():
        gm = ("--method", "gm", "--epochs", "20000", "--tol", "1e-6", "--threads", "1")
        reconstruct(1, problem, *gm, *flags).path.replace(kept)
    return read_result(kept)


def apart(found: Result, star: Result) -> float:
    """||x - x*|| / ||x*||."""
    return float(np.linalg.norm(found.image - star.image) / np.linalg.norm(star.image))


def rate(result: Result) -> float:
    """Updates per second."""
    return float(result.column("updates")[-1] / result.column("seconds")[-1])


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
