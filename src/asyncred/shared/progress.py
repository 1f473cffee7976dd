"""A thread that keeps a rank's MPI library answering while the rank computes."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING

from mpi4py import MPI

if TYPE_CHECKING:
    from typing_extensions import Self


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
