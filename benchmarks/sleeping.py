"""Async-RED on ranks that sleep instead of computing, so that a few cores hold many: a JSON line.

mpirun -n N python sleeping.py SECONDS JITTER UPDATES FACTOR

N is a square; one block a rank. An update takes SECONDS, times FACTOR on rank 1, and lognormal
JITTER; UPDATES is the budget. The loop, the windows, counters and stopping are those of a run.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np

from mpi4py import MPI

from asyncred.grid import BlockGrid, BlockWindows
from asyncred.red.async_red import async_red
from asyncred.red.sampling import EpochOrder, FullBatch
from asyncred.red.stepsize import FixedStep
from asyncred.runtime.budget import CLAIM
from asyncred.runtime.collective import idle
from asyncred.runtime.fit import Fit
from asyncred.runtime.judge import Judge, Tolerance
from asyncred.runtime.monitor import RECORD, SUMS, Reference, Reporting, RunMonitor
from asyncred.runtime.placement import place, spans_hosts
from asyncred.runtime.stopping import AsyncStop
from asyncred.shared import Counters, ProgressThread, SharedImage

SIDE, HALO = 80, 7


class NoData:
    """A data term that costs nothing."""

    def measurements(self, i: int) -> int:
        return 1

    def request(self, i: int, rows: object) -> None:
        """Of nobody."""

    def moved(self, i: int, delta: np.ndarray) -> None:
        """Not used."""


class SleepingRed:
    """G = 0, late."""

    def __init__(self, pause: Callable[[], float]) -> None:
        self.A, self._pause = NoData(), pause

    def block(self, i: int, x_tilde: np.ndarray, rows: object) -> np.ndarray:
        time.sleep(self._pause())
        return np.zeros((SIDE, SIDE), np.float32)


def main() -> None:
    comm = MPI.COMM_WORLD
    seconds, jitter, updates, factor = (float(word) for word in sys.argv[1:5])
    mean = seconds * (factor if comm.rank == 1 else 1.0)
    rng = np.random.default_rng([0, comm.rank])
    G = SleepingRed(lambda: mean * rng.lognormal(-(jitter**2) / 2, jitter))
    found = comm.gather(run(comm, G, int(updates)))
    if found:
        first, last = zip(*found, strict=True)
        print(json.dumps({"rate": updates / (max(last) - min(first))}), flush=True)


def run(comm: MPI.Intracomm, G: SleepingRed, updates: int) -> tuple[float, float]:
    """When the loop began and ended on this rank, by a clock that all share."""
    side = math.isqrt(comm.size) * SIDE
    grid = BlockGrid((side, side), (SIDE, SIDE))
    placement = place(comm, len(grid), threads=1)
    x0 = np.zeros((SIDE, SIDE), np.float32)
    with (
        ProgressThread(comm) if spans_hosts(comm) else nullcontext(),
        Counters(comm, sums=SUMS) as counters,
        SharedImage(
            comm,
            BlockWindows(grid, HALO),
            placement.owner,
            x0=lambda i: x0,
            counters=counters,
            far=placement.far,
        ) as x,
    ):
        monitor = RunMonitor(
            counters,
            Reference(len(grid), None, 1.0),
            truth={},
            records={i: np.zeros(RECORD) for i in placement.own},
            reporting=Reporting(1.0, lambda sample: None, Judge(Tolerance())),
            fit=Fit(G.A, None, tau=0.0, potentials=None, minibatch=True),
        )
        stop = AsyncStop(
            counters, updates=updates, most=CLAIM, seconds=math.inf, signalled=lambda: False
        )
        order, step = EpochOrder(placement.own, [0, comm.rank]), FixedStep(1.0)
        idle(comm)
        start = time.perf_counter()
        async_red(G, x, order=order, minibatch=FullBatch(), step=step, stop=stop, monitor=monitor)
        end = time.perf_counter()
        idle(comm)
    return start, end


if __name__ == "__main__":
    main()
