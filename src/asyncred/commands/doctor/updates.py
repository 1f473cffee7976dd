"""A short run on all ranks: how much of the time is spent outside denoiser and data term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpi4py import MPI

from asyncred.commands.doctor.findings import Finding, Part
from asyncred.files.problem.arrays import convolution
from asyncred.history import MUCH
from asyncred.runtime.api import solve

BLOCK = 128
"""Side of a block: more values than NumPy's BLAS keeps on one thread, left to itself."""

UPDATES = 12
"""Of a rank, in one try."""

TRIES = 2
LIMIT = 120.0


@dataclass(frozen=True)
class Run:
    """What came of the tries, the same on all ranks."""

    rate: float
    """Updates per second of all ranks."""
    rest: float
    """Share of the time of the slowest rank; the least of all tries, as others only ever add."""


def parts(comm: MPI.Intracomm, threads: int) -> list[Part[Any]]:
    """One run."""
    return [Part("updates", LIMIT, lambda: _run(comm, threads), tell_run, collective=True)]


def _run(comm: MPI.Intracomm, threads: int) -> Run:
    """Deblur an image of one block a rank, some times. Collective over comm."""
    shape = (BLOCK, BLOCK * max(2, comm.size))
    y = np.random.default_rng(0).random(shape, dtype=np.float32)
    A = convolution(np.full((5, 5), 1 / 25), shape=shape)
    runs = []
    for _ in range(TRIES):
        updates = UPDATES * comm.size
        found = solve(y, A, comm=comm, block=BLOCK, threads=threads, updates=updates, draft="none")
        record = found.records[0]
        rest = max(times.rest for times in record.times)
        runs.append(Run(record.history[-1].updates / record.history[-1].seconds, rest))
    return min(runs, key=lambda run: run.rest)


def tell_run(told: Sequence[Run]) -> list[Finding]:
    """What is outside denoiser and data term: threads that spin, or cores that are shared."""
    run = told[0]
    said = (
        f"updates: {run.rate:.3g}/s of blocks of {BLOCK}x{BLOCK} in a short run, "
        f"{100 * run.rest:.1f} % of the time outside denoiser and data term"
    )
    if run.rest > MUCH:
        return [
            Finding(
                False,
                f"{said}: something takes the cores of the ranks: other programs, more ranks than "
                "cores, or threads of a library that spin (OPENBLAS_NUM_THREADS=1)",
            )
        ]
    return [Finding(True, said)]
