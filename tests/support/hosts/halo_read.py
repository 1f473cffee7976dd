"""How long rank 0 waits for a halo while rank 1 is inside its denoiser, in ms: a JSON line.

mpirun -n 2 python halo_read.py on|off [SECONDS]
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext

import numpy as np

from mpi4py import MPI

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.shipped import model_path
from asyncred.grid import BlockGrid, BlockWindows
from asyncred.runtime.placement import place, spans_hosts
from asyncred.shared import Counters, ProgressThread, SharedImage

CALL = 0.3  # seconds inside one denoiser call


def main() -> None:
    comm = MPI.COMM_WORLD
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 6.0
    path = model_path("fast-s5")
    assert path is not None
    D = OnnxDenoiser(inspect_denoiser(path), threads=1)
    grid = BlockGrid((160, 80), (80, 80))
    placement, several = place(comm, len(grid), threads=1), spans_hosts(comm)
    waits: list[float] = []
    calls: list[float] = []
    x0 = np.zeros((80, 80), np.float32)
    with (
        ProgressThread(comm) if sys.argv[1] == "on" else nullcontext(),
        Counters(comm, sums=1) as counters,
        SharedImage(
            comm,
            BlockWindows(grid, D.halo),
            placement.owner,
            x0=lambda i: x0,
            counters=counters,
            far=placement.far,
        ) as x,
    ):
        big = image_that_takes(CALL, D)
        x.barrier()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            if comm.rank == 0:
                x.fresh(0)  # its halo lies in block 1, at the other rank
                waits.append(time.perf_counter() - start)
                time.sleep(0.02)
            else:
                D(big)
                calls.append(time.perf_counter() - start)
                counters.stop_reason()  # as the loop does between two calls
        calls = comm.bcast(calls, 1)
    if comm.rank == 0:
        print(
            json.dumps(
                {
                    "median": 1e3 * float(np.median(waits)),
                    "worst": 1e3 * float(np.max(waits)),
                    "call": 1e3 * float(np.median(calls)),
                    "reads": len(waits),
                    "spans_hosts": several,
                }
            ),
            flush=True,
        )


def image_that_takes(seconds: float, D: OnnxDenoiser) -> np.ndarray:
    """An image on which one call of D takes about this long."""
    image = np.zeros((256, 256), np.float32)
    D(image)
    start = time.perf_counter()
    D(image)
    rows = int(256 * seconds / (time.perf_counter() - start))
    return np.zeros((max(rows, 64), 256), np.float32)


main()
