"""Resident memory of a rank as the image grows with the ranks fixed, and with its own blocks fixed.

Blocks of 80x80 with 4356 measurements (111 MB of A each); the largest rank's peak over a run.

    python benchmarks/memory.py
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from common import ASYNCRED, call, mpirun, table

PEAK = """
import json, resource, sys
from pathlib import Path
from mpi4py import MPI
from asyncred.app import run
from asyncred.config import RunConfig
problem, output = map(Path, sys.argv[1:3])
run(RunConfig(problem, output, epochs=2, overwrite=True, threads=1), MPI.COMM_WORLD)
peak = MPI.COMM_WORLD.gather(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
if MPI.COMM_WORLD.rank == 0:
    print(json.dumps(peak))
"""


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for ranks, side in ((4, 2), (4, 4), (4, 8), (1, 2), (16, 8)):
            problem = Path(folder) / "problem.h5"
            size = str(80 * side)
            picture = Path(folder) / "picture.npy"
            flags = ("--overwrite", "--image", make_picture(picture, 80 * side))
            call(*ASYNCRED, "simulate", "cs", problem, *flags)
            program = (sys.executable, "-c", PEAK, problem, problem.with_name("r.h5"))
            out = call(mpirun(), "-n", str(ranks), *program)
            peak = max(json.loads(out.splitlines()[-1]))
            most = -(-side * side // ranks)
            matrices = 4 * 4356 * 6400 * most / 2**20
            row = [f"{size}x{size}", side * side, ranks, most, f"{peak:.0f}"]
            rows.append([*row, f"{peak - matrices:.0f}"])
    head = ["image", "blocks", "ranks", "blocks of a rank", "peak, MiB", "without its A, MiB"]
    print(table(head, rows))


def make_picture(path: Path, side: int) -> Path:
    rows, cols = np.mgrid[:side, :side] / 40
    np.save(path, (0.5 + 0.4 * np.sin(rows) * np.cos(cols)).astype(np.float32))
    return path


main()
