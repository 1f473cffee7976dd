"""The counters all ranks share: budget, stop flag, updates and running sums."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mpi4py import MPI

from asyncred.shared.window import NOTHING, Window

_ANNOUNCED_TO = 16
"""Every update is announced to at most about this many ranks."""


class Counters(Window):
    """Per-rank numbers: flags, the budget, the updates of each rank, running sums.

    Every rank holds one slot. Updates are announced by their author, not asked for, so that a
    delay is counted without a remote read. Collective over ``comm``.
    """

    _STOP, _CLAIMED, _CHECKPOINT, _PARTS, _KEEP, _RELAX, _SUMS = range(7)

    def __init__(self, comm: MPI.Intracomm, *, sums: int) -> None:
        self._table = self._SUMS + sums
        super().__init__(comm, self._table + comm.size, 8)
        np.asarray(self.win.tomemory()).view(np.float64)[:] = 0
        self._n_sums = sums
        self._every = math.ceil(comm.size / _ANNOUNCED_TO)
        self._updates = self._kept = self._relaxed = 0
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

    def updates(self) -> int:
        """Updates committed by all ranks, as far as they are known here."""
        return self._updates + self.others()

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

    def claim(self, budget: int, size: Callable[[int], int]) -> int:
        """Take some of the ``budget`` updates of the whole run; how many, 0 if none was left.

        ``size`` says how many to ask for, at least 1, after so many were taken by all. The total is
        exact, at the cost of two round trips to rank 0 per claim.
        """
        chunk = size(int(self._get(0, self._CLAIMED, 1)[0]))
        wanted, before = np.array([float(chunk)]), np.zeros(1)
        self.win.Fetch_and_op(wanted, before, 0, self._CLAIMED, MPI.SUM)
        self.win.Flush(0)
        return max(0, min(chunk, budget - int(before[0])))

    def settle(self, claimed: int) -> None:
        """Set how many updates are claimed, between two parts of a run. Collective."""
        self.comm.Barrier()
        if self.comm.rank == 0:
            self._replace(np.array([float(claimed)]), 0, self._CLAIMED)
            self.win.Flush(0)
        self.comm.Barrier()

    def raise_stop(self, reason: int) -> None:
        """Tell every rank to stop; each sees it before its next update."""
        self._tell_all(self._STOP, reason)

    def stop_reason(self) -> int:
        """0, or why somebody asked all to stop."""
        return int(self._get(self.comm.rank, self._STOP, 1)[0])

    def ask_checkpoint(self, number: int) -> None:
        """Ask every rank for its part of a checkpoint; numbers count from 1."""
        self._tell_all(self._CHECKPOINT, number)

    def checkpoint_asked(self) -> int:
        """The number of the last checkpoint that was asked for, 0 if none was."""
        return int(self._get(self.comm.rank, self._CHECKPOINT, 1)[0])

    def ask_to_keep(self) -> None:
        """Ask every rank to keep a copy of its blocks as they are now; by one rank only."""
        self._kept += 1
        self._tell_all(self._KEEP, self._kept)

    def asked_to_keep(self) -> int:
        """How often that was asked."""
        return int(self._get(self.comm.rank, self._KEEP, 1)[0])

    def ask_to_relax(self) -> None:
        """Ask every rank to take steps of half the size; by one rank only."""
        self._relaxed += 1
        self._tell_all(self._RELAX, self._relaxed)

    def asked_to_relax(self) -> int:
        """How often that was asked."""
        return int(self._get(self.comm.rank, self._RELAX, 1)[0])

    def count_part(self) -> int:
        """Count one part of a checkpoint as written; how many were, this one included."""
        one, before = np.ones(1), np.zeros(1)
        self.win.Fetch_and_op(one, before, 0, self._PARTS, MPI.SUM)
        self.win.Flush(0)
        return int(before[0]) + 1

    def parts(self) -> int:
        """How many parts of checkpoints were written."""
        return int(self._get(0, self._PARTS, 1)[0])

    def _tell_all(self, where: int, flag: int) -> None:
        values = np.array([float(flag)])
        for rank in range(self.comm.size):
            self._replace(values, rank, where)
        self.win.Flush_all()

    def _replace(self, values: NDArray[np.float64], rank: int, where: int) -> None:
        self.win.Accumulate(values, rank, (where, values.size, MPI.DOUBLE), MPI.REPLACE)

    def _request(self, result: NDArray[np.float64], rank: int, where: int) -> None:
        self.win.Get_accumulate(
            (NOTHING, 0, MPI.DOUBLE), result, rank, (where, result.size, MPI.DOUBLE), MPI.NO_OP
        )

    def _get(self, rank: int, where: int, count: int) -> NDArray[np.float64]:
        result = np.zeros(count)
        self._request(result, rank, where)
        self.win.Flush(rank)
        return result
