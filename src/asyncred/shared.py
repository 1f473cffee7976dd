"""One-sided communication: the image and the counters all ranks share. The only RMA code.

What holds for both windows:

- ``Win.Allocate`` and one ``Lock_all`` for the window's life.
- Concurrent access is by ``Accumulate`` and ``Get_accumulate`` alone, atomic per element. A block
  may be read half old and half new: the inconsistent read of the Async-RED paper.
- No call waits for a rank that computes, provided the target makes progress: inside one node it
  always does; across hosts it does while a ``ProgressThread`` runs there.
- The buffers of a pending operation live until it is flushed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpi4py import MPI

from asyncred.grid import BlockGrid, region_shape
from asyncred.operators import Image

if TYPE_CHECKING:
    from typing_extensions import Self

_NOTHING = np.empty(0, np.float32)
_ANNOUNCED_TO = 16
"""Every update is announced to at most about this many ranks."""


@dataclass(frozen=True)
class _Piece:
    """The part of a window that lies in one block: where it is and where it goes."""

    owner: int
    displacement: int
    in_block: MPI.Datatype
    in_window: MPI.Datatype


@dataclass
class _Read:
    """A window being read: its buffer and the updates of others when it was asked for."""

    i: int
    buffer: Image
    others: int | None
    """Updates by others when the oldest part of it was asked for."""


class ProgressThread:
    """A thread that lets other hosts' RMA calls complete while this rank computes.

    It probes a communicator of its own every ``period`` seconds, which makes the MPI library look
    at its network. It needs MPI_THREAD_MULTIPLE. Collective over ``comm``, at both ends.
    """

    def __init__(self, comm: MPI.Intracomm, *, period: float = 1e-3) -> None:
        if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
            raise RuntimeError("the progress thread needs an MPI library with THREAD_MULTIPLE")
        self._comm = comm.Dup()
        self._period = period
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="MPI progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if kind is None:
            self._comm.Free()

    def _run(self) -> None:
        while not self._done.wait(self._period):
            self._comm.Iprobe()


class _Window:
    """An allocated window under one Lock_all. Collective over ``comm`` at both ends."""

    def __init__(self, comm: MPI.Intracomm, items: int, itemsize: int) -> None:
        self.comm = comm
        self.win = MPI.Win.Allocate(max(items, 1) * itemsize, itemsize, comm=comm)
        self.win.Lock_all(MPI.MODE_NOCHECK)

    def ready(self) -> None:
        """Make what was stored locally visible to all. Collective."""
        self.win.Sync()
        self.comm.Barrier()
        self.win.Sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if kind is None:  # freeing is collective: not while an error unwinds one rank
            self.comm.Barrier()
            self.win.Unlock_all()
            self.win.Free()


class Counters(_Window):
    """Per-rank numbers: a stop flag, the budget, the updates of each rank, running sums.

    Every rank holds one slot. Updates are announced by their author, not asked for, so that a
    delay is counted without a remote read. Collective over ``comm``.
    """

    _STOP, _CLAIMED, _SUMS = 0, 1, 2

    def __init__(self, comm: MPI.Intracomm, *, sums: int) -> None:
        self._table = self._SUMS + sums
        super().__init__(comm, self._table + comm.size, 8)
        np.asarray(self.win.tomemory()).view(np.float64)[:] = 0
        self._n_sums = sums
        self._every = math.ceil(comm.size / _ANNOUNCED_TO)
        self._updates = 0
        self._announced = np.zeros(1)
        self.ready()

    def announce(self) -> None:
        """Count one update of this rank, and tell the others."""
        self._updates += 1
        if self._updates % self._every == 0:
            self.win.Flush_all()  # of the last announcement, long since done
            self._announced[0] = self._updates
            for rank in range(self.comm.size):
                if rank != self.comm.rank:
                    self._replace(self._announced, rank, self._table + self.comm.rank)

    def others(self) -> int:
        """Updates committed by other ranks, as far as they are known here.

        Above 16 ranks each rank announces only every ceil(ranks / 16)-th of its updates.
        """
        if self.comm.size == 1:
            return 0
        return int(self._get(self.comm.rank, self._table, self.comm.size).sum())

    def publish(self, sums: NDArray[np.float64]) -> None:
        """Put this rank's running sums where ``collect`` finds them."""
        self._replace(sums, self.comm.rank, self._SUMS)
        self.win.Flush(self.comm.rank)

    def collect(self) -> NDArray[np.float64]:
        """The running sums of all ranks, float64 [ranks, sums]. Not collective."""
        found = np.zeros((self.comm.size, self._n_sums))
        for rank in range(self.comm.size):
            self._request(found[rank], rank, self._SUMS)
        self.win.Flush_all()
        return found

    def claim(self, budget: int, most: int) -> int:
        """Take some of the ``budget`` updates of the whole run, ``most`` at a time; 0 if none left.

        The total is exact, at the cost of two round trips to rank 0 per claim. Towards the end the
        claims shrink, so that nobody is left with much to do.
        """
        taken = int(self._get(0, self._CLAIMED, 1)[0])
        chunk = max(1, min(most, (budget - taken) // (2 * self.comm.size)))
        wanted, before = np.array([float(chunk)]), np.zeros(1)
        self.win.Fetch_and_op(wanted, before, 0, self._CLAIMED, MPI.SUM)
        self.win.Flush(0)
        return max(0, min(chunk, budget - int(before[0])))

    def raise_stop(self, reason: int) -> None:
        """Tell every rank to stop; each sees it before its next update."""
        flag = np.array([float(reason)])
        for rank in range(self.comm.size):
            self._replace(flag, rank, self._STOP)
        self.win.Flush_all()

    def stop_reason(self) -> int:
        """0, or why somebody asked all to stop."""
        return int(self._get(self.comm.rank, self._STOP, 1)[0])

    def _replace(self, values: NDArray[np.float64], rank: int, where: int) -> None:
        self.win.Accumulate(values, rank, (where, values.size, MPI.DOUBLE), MPI.REPLACE)

    def _request(self, result: NDArray[np.float64], rank: int, where: int) -> None:
        self.win.Get_accumulate(
            (_NOTHING, 0, MPI.DOUBLE), result, rank, (where, result.size, MPI.DOUBLE), MPI.NO_OP
        )

    def _get(self, rank: int, where: int, count: int) -> NDArray[np.float64]:
        result = np.zeros(count)
        self._request(result, rank, where)
        self.win.Flush(rank)
        return result


class SharedImage(_Window):
    """The image x, each block in the memory of the rank that owns it.

    ``owner[i]`` is the rank of block i; ``halo`` and ``align`` are the denoiser's; ``x0`` gives
    the start of a block, float32 of the block's shape; ``far`` are the ranks whose blocks are
    requested ahead, because reading them takes a message (within a node it takes microseconds, and
    asking early would only make the answer older). A rank's memory holds its own blocks and two
    windows. Collective over ``comm``.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        grid: BlockGrid,
        owner: Sequence[int],
        *,
        halo: int,
        align: int,
        x0: Callable[[int], Image],
        counters: Counters,
        far: Collection[int],
    ) -> None:
        self.grid, self._owner, self._halo, self._align = grid, owner, halo, align
        self._far = frozenset(far)
        self._counters = counters
        self._displacement = _displacements(grid, owner)
        own = [i for i in range(len(grid)) if owner[i] == comm.rank]
        super().__init__(comm, sum(math.prod(region_shape(grid.block(i))) for i in own), 4)
        memory = np.asarray(self.win.tomemory()).view(np.float32)
        for i in own:
            start = x0(i)
            first = self._displacement[i]
            memory[first : first + start.size] = start.ravel()
        self._pieces: dict[int, list[_Piece]] = {}
        self._requested: _Read | None = None
        self._current: _Read | None = None
        self.ready()

    def request(self, i: int) -> None:
        """Ask for what the window of block i needs from far ranks; ``read`` collects it."""
        if self._requested is not None:
            self.win.Flush_all()  # of a window that was never read, before its buffer goes
        buffer = np.empty(self.grid.window(i, self._halo, self._align).shape, np.float32)
        far = [piece for piece in self._window_pieces(i) if piece.owner in self._far]
        self._requested = _Read(i, buffer, self._counters.others() if far else None)
        for piece in far:
            self._start(piece, buffer)

    def read(self, i: int) -> Image:
        """The window of block i, float32; ``request(i)`` must have come before.

        Far blocks were read at the request, the others are now.
        """
        read = self._requested
        assert read is not None and read.i == i, "read without request"
        if read.others is None:
            read.others = self._counters.others()
        pieces = self._window_pieces(i)
        for piece in pieces:
            if piece.owner not in self._far:
                self._start(piece, read.buffer)
        for rank in {piece.owner for piece in pieces}:
            self.win.Flush(rank)
        self._current, self._requested = read, None
        return read.buffer

    def fresh(self, i: int) -> Image:
        """The window of block i as it is now: request and read at once."""
        self.request(i)
        return self.read(i)

    def own(self, i: int, x_tilde: Image) -> Image:
        """Block i inside its window."""
        return x_tilde[self.grid.window(i, self._halo, self._align).inner]

    def add(self, i: int, delta: Image) -> None:
        """x <- x + U_i delta: an element-wise atomic sum at the owner, complete on return."""
        delta = np.ascontiguousarray(delta, np.float32)
        target = (self._displacement[i], delta.size, MPI.FLOAT)
        self.win.Accumulate(delta, self._owner[i], target, MPI.SUM)
        self.win.Flush(self._owner[i])
        self._counters.announce()

    def delay(self, i: int) -> int:
        """Updates by others since the oldest part of the window last read was asked for.

        As ``Counters.others`` knows them.
        """
        read = self._current
        assert read is not None and read.i == i, "delay of a block that was not read"
        assert read.others is not None
        return self._counters.others() - read.others

    def block(self, i: int) -> Image:
        """A copy of block i, whoever owns it."""
        result = np.empty(region_shape(self.grid.block(i)), np.float32)
        self.win.Get_accumulate(
            (_NOTHING, 0, MPI.FLOAT),
            result,
            self._owner[i],
            (self._displacement[i], result.size, MPI.FLOAT),
            MPI.NO_OP,
        )
        self.win.Flush(self._owner[i])
        return result

    def barrier(self) -> None:
        """Wait for all ranks: for synchronous algorithms. Collective."""
        self.comm.Barrier()

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.win.Flush_all()  # a window requested and never read
            for pieces in self._pieces.values():
                for piece in pieces:
                    piece.in_block.Free()
                    piece.in_window.Free()
        super().__exit__(kind, error, trace)

    def _start(self, piece: _Piece, buffer: Image) -> None:
        self.win.Get_accumulate(
            (_NOTHING, 0, MPI.FLOAT),
            (buffer, 1, piece.in_window),
            piece.owner,
            (piece.displacement, 1, piece.in_block),
            MPI.NO_OP,
        )

    def _window_pieces(self, i: int) -> list[_Piece]:
        if i not in self._pieces:
            window = self.grid.window(i, self._halo, self._align)
            self._pieces[i] = [
                _Piece(
                    self._owner[part.block],
                    self._displacement[part.block],
                    _subarray(region_shape(self.grid.block(part.block)), part.in_block),
                    _subarray(window.shape, part.in_region),
                )
                for part in self.grid.overlaps(window.region)
            ]
        return self._pieces[i]


def _subarray(shape: tuple[int, int], part: tuple[slice, slice]) -> MPI.Datatype:
    starts = [part[0].start, part[1].start]
    return MPI.FLOAT.Create_subarray(list(shape), list(region_shape(part)), starts).Commit()


def _displacements(grid: BlockGrid, owner: Sequence[int]) -> list[int]:
    """Where each block begins in its owner's memory, in pixels."""
    used: dict[int, int] = {}
    result = []
    for i in range(len(grid)):
        result.append(used.get(owner[i], 0))
        used[owner[i]] = result[i] + math.prod(region_shape(grid.block(i)))
    return result
