"""Which blocks of a node are being worked on, and how often each was updated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mpi4py import MPI

from asyncred.shared.window import NOTHING, Window

WORD = MPI.INT64_T
"""Of all operations: they are atomic to each other where their datatype is the same."""


class Claims(Window):
    """One word a block, with the first rank of ``node``: twice its updates, plus 1 while claimed.

    A compare-and-swap from even to odd claims a block as it was seen, or not at all; adding 1 then
    counts the update and frees the block, at once. ``updates`` maps the blocks of all ranks of
    ``node`` to how often they were updated before, and is the same on all. Collective over
    ``node``.
    """

    def __init__(self, node: MPI.Intracomm, updates: Mapping[int, int]) -> None:
        self.blocks = sorted(updates)
        self._place = {i: place for place, i in enumerate(self.blocks)}
        super().__init__(node, len(self.blocks) if node.rank == 0 else 0, 8)
        if node.rank == 0:
            words = np.asarray(self.win.tomemory()).view(np.int64)
            words[: len(self.blocks)] = [2 * updates[i] for i in self.blocks]
        self.ready()

    def look(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """How often each of ``blocks`` was updated, and whether it is free."""
        words = self._words(0, len(self.blocks))
        return words // 2, words % 2 == 0

    def updates(self, i: int) -> int:
        """How often block i was updated, claimed or not."""
        return int(self._words(self._place[i], 1)[0]) // 2

    def claim(self, i: int, updates: int) -> bool:
        """Take block i if it is free and was updated as often as that; whether it was.

        Nobody else has it until ``done``, and what was written to the node's memory before the last
        ``done`` is seen.
        """
        free, claimed, found = (np.array([2 * updates + k], np.int64) for k in (0, 1, -1))
        self.win.Compare_and_swap((claimed, WORD), (free, WORD), (found, WORD), 0, self._place[i])
        self.win.Flush(0)
        self.win.Sync()
        return bool(found[0] == free[0])

    def done(self, i: int) -> None:
        """Count one update of block i, which this rank had claimed, and give the block back."""
        self._add(i, 1)

    def release(self, i: int) -> None:
        """Give block i back, which this rank had claimed, and count nothing."""
        self._add(i, -1)

    def _add(self, i: int, change: int) -> None:
        self.win.Sync()
        word = np.full(1, change, np.int64)
        self.win.Accumulate((word, WORD), 0, (self._place[i], 1, WORD), MPI.SUM)
        self.win.Flush(0)

    def _words(self, first: int, count: int) -> NDArray[np.int64]:
        words = np.empty(count, np.int64)
        self.win.Get_accumulate(
            (NOTHING, 0, WORD), (words, WORD), 0, (first, count, WORD), MPI.NO_OP
        )
        self.win.Flush(0)
        return words
