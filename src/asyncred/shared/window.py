"""A window of memory that other ranks read and add to."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from mpi4py import MPI

if TYPE_CHECKING:
    from typing_extensions import Self

NOTHING = np.empty(0, np.float32)
"""What is added where a value is only read."""


class Window:
    """An allocated window under one Lock_all. Collective over ``comm`` at both ends."""

    def __init__(self, comm: MPI.Intracomm, items: int, itemsize: int) -> None:
        self._open(comm, MPI.Win.Allocate(max(items, 1) * itemsize, itemsize, comm=comm))

    def _open(self, comm: MPI.Intracomm, win: MPI.Win) -> None:
        self.comm, self.win = comm, win
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
