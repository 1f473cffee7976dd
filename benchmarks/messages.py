"""What messages between two ranks cost, in seconds: a JSON line. For ``costs.py``.

mpirun -n 2 python messages.py on|off [SECONDS]

Rank 1 asks rank 0, first while that waits inside MPI, then for SECONDS while it is inside its
denoiser, with or without the progress thread.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np

from mpi4py import MPI

from asyncred.commands.doctor.compute import denoiser
from asyncred.commands.doctor.latency import image_that_takes
from asyncred.runtime.collective import idle
from asyncred.shared import Counters, ProgressThread
from asyncred.shared.window import NOTHING, Window

EDGE = 7 * 80  # floats: a halo of 7 along a block of 80
LARGE = 1 << 20
MANY = 1000
TABLE = 100_000  # ranks
CALL = 0.1


def main() -> None:
    comm = MPI.COMM_WORLD
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
    image = image_that_takes(CALL) if comm.rank == 0 else np.empty(0, np.float32)
    with (
        ProgressThread(comm) if sys.argv[1] == "on" else nullcontext(),
        Counters(comm, sums=1) as counters,
        Window(comm, max(LARGE, 2 * TABLE), 4) as window,
    ):
        window.ready()
        found = waiting(window) if comm.rank == 1 else {}
        comm.Barrier()
        found["barrier"] = median(comm.Barrier, 200)
        comm.Barrier()
        if comm.rank == 0:
            compute(counters, image, seconds + CALL)
        else:
            found |= computing(window, counters, seconds)
        idle(comm)
    if comm.rank == 1:
        print(json.dumps(found), flush=True)


def waiting(window: Window) -> dict[str, float]:
    """Against a rank that waits inside MPI: an edge, much, one of many; the own table.

    ``bytes`` is what much has more than an edge.
    """
    many = (lambda: start_many(window), 5)
    table, one = np.empty(TABLE), np.empty(1)
    whole = median(lambda: read(window, table, 1).sum(), 50)
    return {
        "edge": median(lambda: read(window, np.empty(EDGE, np.float32), 0), 200),
        "large": median(lambda: read(window, np.empty(LARGE, np.float32), 0), 10),
        "bytes": 4 * (LARGE - EDGE),
        "each": median(*many) / MANY,
        "table": (whole - median(lambda: read(window, one, 1).sum(), 50)) / TABLE,
    }


def computing(window: Window, counters: Counters, seconds: float) -> dict[str, float]:
    """Against a rank inside its denoiser: an edge, a claim of two round trips."""
    edge, reads, claims = np.empty(EDGE, np.float32), [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        reads.append(timed(lambda: read(window, edge, 0)))
        time.sleep(0.003)
        claims.append(timed(lambda: counters.claim(1 << 40, lambda taken: 32)))
        time.sleep(0.003)
    return {"edge, computing": float(np.median(reads)), "claim": float(np.median(claims))}


def compute(counters: Counters, image: np.ndarray, seconds: float) -> None:
    """Denoise, and ask the own memory between two calls as a run does."""
    D = denoiser(threads=1)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        D(image)
        counters.stop_reason()


def read(window: Window, into: np.ndarray, rank: int) -> np.ndarray:
    kind = MPI.FLOAT if into.dtype == np.float32 else MPI.DOUBLE
    nothing, place = (NOTHING, 0, kind), (0, into.size, kind)
    window.win.Get_accumulate(nothing, (into, into.size, kind), rank, place, MPI.NO_OP)
    window.win.Flush(rank)
    return into


def start_many(window: Window) -> None:
    """Many sums of one number, as in announcements, before one Flush."""
    one = np.zeros(1)
    for _ in range(MANY):
        window.win.Accumulate(one, 0, (0, 1, MPI.DOUBLE), MPI.SUM)
    window.win.Flush(0)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median(work: Callable[[], object], times: int) -> float:
    """Of some tries after a first, which connects."""
    return float(np.median([timed(work) for _ in range(times + 1)][1:]))


if __name__ == "__main__":
    main()
