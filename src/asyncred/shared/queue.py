"""What groups of ranks share that work on different images: who takes which, and when to stop."""

from __future__ import annotations

import numpy as np

from mpi4py import MPI

from asyncred.shared.window import NOTHING, Window


class Queue(Window):
    """Numbers from 0 on, each handed out once; a flag at every rank. Collective over ``comm``."""

    _NEXT, _STOP = 0, 1

    def __init__(self, comm: MPI.Intracomm) -> None:
        super().__init__(comm, 2, 8)
        np.asarray(self.win.tomemory()).view(np.float64)[:] = 0
        self.ready()

    def take(self) -> int:
        """The next number; nobody else gets it."""
        one, before = np.ones(1), np.zeros(1)
        self.win.Fetch_and_op(one, before, 0, self._NEXT, MPI.SUM)
        self.win.Flush(0)
        return int(before[0])

    def raise_stop(self, reason: int) -> None:
        """Tell every rank to stop, and why: a number > 0."""
        flag = np.full(1, reason, np.float64)
        for rank in range(self.comm.size):
            self.win.Accumulate(flag, rank, (self._STOP, 1, MPI.DOUBLE), MPI.REPLACE)
        self.win.Flush_all()

    def stopped(self) -> int:
        """0, or why somebody did; looks at this rank's own memory."""
        flag = np.zeros(1)
        self.win.Get_accumulate(
            (NOTHING, 0, MPI.DOUBLE),
            flag,
            self.comm.rank,
            (self._STOP, 1, MPI.DOUBLE),
            MPI.NO_OP,
        )
        self.win.Flush(self.comm.rank)
        return int(flag[0])
