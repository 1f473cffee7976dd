"""How long a rank waits for another one that computes: the one-sided reads and sums of a run.

One rank reads and adds a halo, the other is inside its denoiser for about ``CALL`` seconds at a
time and makes no MPI call meanwhile. What a run would do is judged, the other way is told too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpi4py import MPI

from asyncred.commands.doctor.compute import denoiser, median_seconds
from asyncred.commands.doctor.findings import Finding, Part
from asyncred.runtime.collective import idle
from asyncred.runtime.placement import Placement
from asyncred.shared import ProgressThread
from asyncred.shared.window import NOTHING, Window

Array = NDArray[np.float32]

HALO = 4 * 7 * (80 + 7)
"""Pixels of the halo of an 80x80 block, for a denoiser of radius 7."""

CALL = 0.1
DURATION = 1.5
"""Seconds of each measurement."""

LIMIT = 40.0
STALLS = 0.2
"""A rank is held up where the median wait is above this share of a call."""


@dataclass(frozen=True)
class Waits:
    """Milliseconds of one rank, with or without the progress thread at the other."""

    read: NDArray[np.float64]
    """Get_accumulate and Flush, of each try."""
    add: NDArray[np.float64]
    """Accumulate(SUM) and Flush."""
    lost: float = 0.0
    """How many of the sums were not there when read."""

    @property
    def median(self) -> float:
        """The worse of both."""
        return float(max(np.median(self.read), np.median(self.add)))

    def __str__(self) -> str:
        read, worst_read, add, worst_add = (
            f"{value:.{0 if value >= 10 else 2}f}"
            for waits in (self.read, self.add)
            for value in (np.median(waits), waits.max())
        )
        return f"reads {read} ms (worst {worst_read}), adds {add} ms (worst {worst_add})"


Pair = tuple[int, int]
"""Who reads and adds, and who computes."""

Answer = dict[bool, tuple[Waits | None, float]]
"""With and without progress thread: the waits of the rank that reads, seconds of a call there."""


def parts(
    comm: MPI.Intracomm, pairs: Mapping[str, Pair | None], *, thread_wanted: bool
) -> list[Part[Any]]:
    """Between two ranks of one host, and between two hosts, with and without progress thread."""
    return [_part(comm, words, pair, thread_wanted) for words, pair in pairs.items()]


def pairs(comm: MPI.Intracomm, placement: Placement) -> dict[str, Pair | None]:
    """The first two ranks that share memory, and rank 0 with the first of another host. Collective.

    None where there are none such.
    """
    near = frozenset(range(comm.size)) - placement.far
    first = comm.allgather(min(near))  # of each rank's host
    within = next(((first[b], b) for b in range(comm.size) if first[b] != b), None)
    between = next(((0, b) for b in range(comm.size) if first[b] != 0), None)
    return {"within a host": within, "between hosts": between}


def judge(where: str, waits: Mapping[bool, Waits], call: float, *, thread_wanted: bool) -> Finding:
    """Whether a run is held up, as it would be started; ``call`` in ms."""
    held_up = {thread: found.median > STALLS * call for thread, found in waits.items()}
    used = thread_wanted and True in waits
    told = "; ".join(
        f"{'with' if thread else 'without'} progress thread {found}"
        for thread, found in sorted(waits.items(), key=lambda item: item[0] != used)
    )
    said = f"{where}, inside calls of {call:.0f} ms: {told}"
    if any(found.lost for found in waits.values()):
        return Finding(False, f"{said}: sums are LOST: another MPI library")
    if not held_up[used]:
        return Finding(True, said)
    if not held_up.get(True, True):
        return Finding(False, f"{said}: every read waits for a call to end; --progress-thread on")
    return Finding(
        False,
        f"{said}: every read waits for a call to end; another MPI library or network of it "
        "(UCX_TLS, FI_PROVIDER) may do better",
    )


def _part(comm: MPI.Intracomm, words: str, pair: Pair | None, thread_wanted: bool) -> Part[Answer]:
    def measure() -> Answer:
        if pair is None:
            return {}
        image = image_that_takes(CALL) if comm.rank == pair[1] else None
        modes = [False, True] if MPI.Query_thread() >= MPI.THREAD_MULTIPLE else [False]
        return {thread: _measure(comm, pair, image, thread=thread) for thread in modes}

    def tell(told: Sequence[Answer]) -> list[Finding]:
        if pair is None:
            return [Finding(True, f"RMA {words}: not measured, there are no two such ranks")]
        origin, target = pair
        waits = {thread: found for thread, (found, _) in told[origin].items() if found}
        where = f"RMA {words}: rank {origin} a halo of rank {target}"
        return [judge(where, waits, 1e3 * told[target][False][1], thread_wanted=thread_wanted)]

    return Part(f"RMA {words}", LIMIT, measure, tell, collective=True)


def _measure(
    comm: MPI.Intracomm, pair: Pair, image: Array | None, *, thread: bool
) -> tuple[Waits | None, float]:
    """What the first of the pair waited for and how long calls of the second took. Collective."""
    waits, call = None, 0.0
    with ProgressThread(comm) if thread else nullcontext(), Window(comm, HALO, 4) as window:
        np.asarray(window.win.tomemory()).view(np.float32)[:] = 0
        window.ready()
        if comm.rank == pair[0]:
            waits = _exchange(window, pair[1])
        elif image is not None:
            call = _compute(window, image)
        idle(comm)
    return waits, call


def _exchange(window: Window, target: int) -> Waits:
    """Read and add a halo for a while; the first try, which connects, does not count."""
    win, halo, ones = window.win, np.empty(HALO, np.float32), np.ones(HALO, np.float32)
    place = (0, HALO, MPI.FLOAT)
    waits: list[tuple[float, float]] = []
    end = time.perf_counter() + DURATION
    while time.perf_counter() < end or len(waits) < 3:
        start = time.perf_counter()
        win.Get_accumulate((NOTHING, 0, MPI.FLOAT), halo, target, place, MPI.NO_OP)
        win.Flush(target)
        middle = time.perf_counter()
        win.Accumulate(ones, target, place, MPI.SUM)
        win.Flush(target)
        waits.append((middle - start, time.perf_counter() - middle))
        time.sleep(0.01)
    read, add = 1e3 * np.array(waits[1:]).T
    return Waits(read, add, lost=len(waits) - 1 - float(halo.min()))


def _compute(window: Window, image: Array) -> float:
    """Denoise for a while and ask the own memory between calls, as a run does; a call's time."""
    D, rank, calls = denoiser(threads=1), window.comm.rank, []
    one = np.empty(1, np.float32)
    end = time.perf_counter() + DURATION + CALL
    while time.perf_counter() < end:
        start = time.perf_counter()
        D(image)
        calls.append(time.perf_counter() - start)
        window.win.Get_accumulate((NOTHING, 0, MPI.FLOAT), one, rank, (0, 1, MPI.FLOAT), MPI.NO_OP)
        window.win.Flush(rank)
    return float(np.median(calls))


def image_that_takes(seconds: float) -> Array:
    """An image on which one call of the denoiser takes about this long on one thread."""
    D, image = denoiser(threads=1), np.zeros((128, 128), np.float32)
    rows = round(128 * seconds / median_seconds(lambda: D(image)))
    return np.zeros((min(max(rows, 32), 8192), 128), np.float32)
