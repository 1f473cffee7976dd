"""The residual r = A x - y that all ranks share, each group of measurements in its owner's memory.

A block update reads r where its block touches it, takes A_i^T of that, and adds A_i delta.
Sums commute, so this too is an inconsistent read of x.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from mpi4py import MPI

from asyncred.operators import ForwardModel, Rows
from asyncred.shared.window import NOTHING, Window

Array = NDArray[np.float32]


@dataclass(frozen=True)
class _Piece:
    """The part of a footprint in the memory of one rank, and where it is in the answer."""

    owner: int
    rows: slice
    runs: MPI.Datatype


@dataclass
class _Read:
    """A footprint being read: its buffer, and the datatypes to free after."""

    i: int
    rows: Rows | None
    buffer: Array
    pieces: list[_Piece]
    under_way: bool
    """Whether far parts are still to arrive."""


class SharedResidual(Window):
    """r, of the shape and on the footprints of ``model``; 0 at first. Collective over ``comm``.

    Rank k owns the groups from k groups / ranks on. ``far`` are the ranks whose part is requested
    ahead, as in ``SharedImage``.
    """

    def __init__(
        self, comm: MPI.Intracomm, model: ForwardModel, *, far: Collection[int] = ()
    ) -> None:
        self._model, self._far = model, frozenset(far)
        self._bounds = np.array([k * model.groups // comm.size for k in range(comm.size + 1)])
        self.own = range(self._bounds[comm.rank], self._bounds[comm.rank + 1])
        super().__init__(comm, len(self.own) * model.length, 4)
        memory = np.asarray(self.win.tomemory()).view(np.float32)
        self._memory = memory[: len(self.own) * model.length].reshape(-1, model.length)
        self._whole: dict[int, list[_Piece]] = {}
        self._requested: list[_Read] = []
        self.fill(lambda groups: np.float32(0))

    def fill(self, values: Callable[[range], Array | np.float32]) -> None:
        """r <- values(own groups), float32 [groups, length]. Collective; nobody adds meanwhile."""
        self._forget()
        self.comm.Barrier()
        self._memory[:] = values(self.own)
        self.ready()

    def local(self) -> Array:
        """A copy of the own groups, as they are where nobody adds meanwhile."""
        self.win.Sync()
        return self._memory.copy()

    def request(self, i: int, rows: Rows | None) -> None:
        """Ask far ranks for their part of the footprint of block i; ``read`` collects it.

        At most one request may be waiting to be read: what it asked for arrives here, so that its
        ``read`` does not wait for this one.
        """
        for read in self._requested:
            self._arrive(read)
        self._requested = [*self._requested[-1:], self._ask(i, rows)]

    def read(self, i: int, rows: Rows | None) -> Array:
        """r on the footprint of block i, in some groups (all), float32 [groups, width].

        Far parts are as old as the ``request``, if there was one.
        """
        asked = [read for read in self._requested if read.i == i and read.rows is rows]
        read = asked[0] if asked else self._ask(i, rows)
        self._requested = [other for other in self._requested if other is not read]
        for piece in read.pieces:
            if piece.owner not in self._far:
                self._start(piece, read.buffer)
                self.win.Flush(piece.owner)
        self._arrive(read)
        if rows is not None:
            for piece in read.pieces:
                piece.runs.Free()
        return read.buffer

    def add(self, i: int, change: Array) -> None:
        """r <- r + change on the footprint of block i, float32 [groups, width]; done on return.

        An element-wise atomic sum.
        """
        change = np.ascontiguousarray(change, np.float32)
        for piece in self._pieces(i, None):
            part = change[piece.rows]
            origin = (part, part.size, MPI.FLOAT)
            self.win.Accumulate(origin, piece.owner, (0, 1, piece.runs), MPI.SUM)
        for piece in self._pieces(i, None):
            self.win.Flush(piece.owner)

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._forget()
            for pieces in self._whole.values():
                for piece in pieces:
                    piece.runs.Free()
        super().__exit__(kind, error, trace)

    def _forget(self) -> None:
        """Drop what was requested and never read."""
        self.win.Flush_all()  # before its buffers go
        for read in self._requested:
            if read.rows is not None:
                for piece in read.pieces:
                    piece.runs.Free()
        self._requested = []

    def _ask(self, i: int, rows: Rows | None) -> _Read:
        pieces = self._pieces(i, rows)
        count = self._model.groups if rows is None else len(rows)
        buffer = np.empty((count, self._model.footprint(i).width), np.float32)
        far = [piece for piece in pieces if piece.owner in self._far]
        for piece in far:
            self._start(piece, buffer)
        return _Read(i, rows, buffer, pieces, bool(far))

    def _arrive(self, read: _Read) -> None:
        if read.under_way:
            for piece in read.pieces:
                if piece.owner in self._far:
                    self.win.Flush(piece.owner)
            read.under_way = False

    def _start(self, piece: _Piece, buffer: Array) -> None:
        part = buffer[piece.rows]
        self.win.Get_accumulate(
            (NOTHING, 0, MPI.FLOAT),
            (part, part.size, MPI.FLOAT),
            piece.owner,
            (0, 1, piece.runs),
            MPI.NO_OP,
        )

    def _pieces(self, i: int, rows: Rows | None) -> list[_Piece]:
        if rows is not None:
            return self._cut(i, rows)
        if i not in self._whole:
            self._whole[i] = self._cut(i, np.arange(self._model.groups))
        return self._whole[i]

    def _cut(self, i: int, rows: Rows) -> list[_Piece]:
        """The pieces of some groups, ascending."""
        footprint = self._model.footprint(i)
        cuts = np.searchsorted(rows, self._bounds)
        pieces = []
        for owner in range(self.comm.size):
            part = slice(int(cuts[owner]), int(cuts[owner + 1]))
            groups = rows[part]
            if groups.size == 0:
                continue
            first = (groups - self._bounds[owner]) * self._model.length + footprint.first[groups]
            # In bytes: counts of items end at 2^31.
            runs = MPI.FLOAT.Create_hindexed_block(footprint.width, (4 * first).tolist())
            pieces.append(_Piece(owner, part, runs.Commit()))
        return pieces
