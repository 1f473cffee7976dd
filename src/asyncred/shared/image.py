"""The image that all ranks share, each block in its owner's memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from mpi4py import MPI

from asyncred.grid import BlockGrid, BlockWindows, region_shape
from asyncred.operators import Image
from asyncred.shared.counters import Counters
from asyncred.shared.window import NOTHING, Window

if TYPE_CHECKING:
    from typing_extensions import Self


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


class SharedImage(Window):
    """The image x, each block in the memory of the rank that owns it.

    ``windows`` are what is read of the image for each block, ``owner[i]`` is the rank of block i;
    ``x0`` gives the start of a block, of the block's shape and of ``dtype``, float32 or complex64;
    ``far`` are the ranks whose blocks are requested ahead, because reading them takes a message
    (within a node it takes microseconds, and asking early would only make the answer older). A
    rank's memory holds its own blocks and two windows. Collective over ``comm``.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        windows: BlockWindows,
        owner: Sequence[int],
        *,
        x0: Callable[[int], Image],
        dtype: type[np.generic] = np.float32,
        counters: Counters,
        far: Collection[int],
    ) -> None:
        self.grid = grid = windows.grid
        self._owner = owner
        self._far = frozenset(far)
        self._counters = counters
        self._dtype = np.dtype(dtype)
        self._floats = self._dtype.itemsize // 4  # of a pixel: two of a complex one
        self._displacement = _displacements(grid, owner)
        own = [i for i in range(len(grid)) if owner[i] == comm.rank]
        pixels = sum(math.prod(region_shape(grid.block(i))) for i in own)
        super().__init__(comm, pixels, self._dtype.itemsize)
        memory = np.asarray(self.win.tomemory()).view(self._dtype)
        for i in own:
            start = x0(i)
            first = self._displacement[i]
            memory[first : first + start.size] = start.ravel()
        self._datatypes: list[MPI.Datatype] = []
        self._look_through(windows)
        self.ready()

    def through(self, windows: BlockWindows) -> Self:
        """The same image, read through other windows, for as long as this one lives."""
        view = copy.copy(self)
        view._look_through(windows)
        return view

    def _look_through(self, windows: BlockWindows) -> None:
        self._windows = windows
        self._pieces: dict[int, list[_Piece]] = {}
        self._requested: _Read | None = None
        self._current: _Read | None = None

    def request(self, i: int) -> None:
        """Ask for what the window of block i needs from far ranks; ``read`` collects it."""
        if self._requested is not None:
            self.win.Flush_all()  # of a window that was never read, before its buffer goes
        buffer = np.empty(self._windows[i].shape, self._dtype)
        far = [piece for piece in self._window_pieces(i) if piece.owner in self._far]
        self._requested = _Read(i, buffer, self._counters.others() if far else None)
        for piece in far:
            self._start(piece, buffer)

    def read(self, i: int) -> Image:
        """The window of block i; ``request(i)`` must have come before.

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
        return x_tilde[self._windows[i].inner]

    def add(self, i: int, delta: Image) -> None:
        """x <- x + U_i delta: an element-wise atomic sum at the owner, complete on return."""
        delta = np.ascontiguousarray(delta, self._dtype).view(np.float32)
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
        result = np.empty(region_shape(self.grid.block(i)), self._dtype)
        count = result.size * self._floats
        self.win.Get_accumulate(
            (NOTHING, 0, MPI.FLOAT),
            (result, count, MPI.FLOAT),
            self._owner[i],
            (self._displacement[i], count, MPI.FLOAT),
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
            for datatype in self._datatypes:
                datatype.Free()
        super().__exit__(kind, error, trace)

    def _start(self, piece: _Piece, buffer: Image) -> None:
        self.win.Get_accumulate(
            (NOTHING, 0, MPI.FLOAT),
            (buffer, 1, piece.in_window),
            piece.owner,
            (piece.displacement, 1, piece.in_block),
            MPI.NO_OP,
        )

    def _window_pieces(self, i: int) -> list[_Piece]:
        if i not in self._pieces:
            window = self._windows[i]
            self._pieces[i] = [
                _Piece(
                    self._owner[part.block],
                    self._displacement[part.block],
                    self._subarray(region_shape(self.grid.block(part.block)), part.in_block),
                    self._subarray(window.shape, part.in_region),
                )
                for part in self.grid.overlaps(window.region)
            ]
        return self._pieces[i]

    def _subarray(self, shape: tuple[int, int], part: tuple[slice, slice]) -> MPI.Datatype:
        whole, cut = ([h, w * self._floats] for h, w in (shape, region_shape(part)))
        starts = [part[0].start, part[1].start * self._floats]
        found = MPI.FLOAT.Create_subarray(whole, cut, starts).Commit()
        self._datatypes.append(found)
        return found


def _displacements(grid: BlockGrid, owner: Sequence[int]) -> list[int]:
    """Where each block begins in its owner's memory, in pixels."""
    used: dict[int, int] = {}
    result = []
    for i in range(len(grid)):
        result.append(used.get(owner[i], 0))
        used[owner[i]] = result[i] + math.prod(region_shape(grid.block(i)))
    return result
