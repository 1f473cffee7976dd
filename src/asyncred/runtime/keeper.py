"""Copies of x while a run goes on: checkpoints on disk, and the best x in memory."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asyncred.files.checkpoint import publish
from asyncred.operators import Image
from asyncred.red.solver import Stop

if TYPE_CHECKING:
    from asyncred.runtime.windows import AnyCounters


class Keeper:
    """Puts a run down on disk every ``seconds``. ``look`` is called by every rank between updates.

    Rank 0 lays the file out and says so; every rank, between two of its own updates, adds its part;
    the last one to do so gives the file its name. ``lay_out`` and ``add_part`` are told where;
    ``add_part`` says whether there is something worth keeping.
    """

    def __init__(
        self,
        counters: AnyCounters,
        path: Path,
        seconds: float,
        *,
        lay_out: Callable[[Path], None],
        add_part: Callable[[Path], bool],
    ) -> None:
        self._counters, self._path, self._seconds = counters, path, seconds
        self._lay_out, self._add_part = lay_out, add_part
        self._root = counters.comm.rank == 0
        self._asked, self._added = 0, 0
        self._next = time.monotonic() + seconds
        if self._root:
            self._clear()

    def look(self) -> None:
        """Begin a checkpoint if it is time for one; add the own part to one that has begun."""
        size = self._counters.comm.size
        if self._root and time.monotonic() >= self._next:
            if self._counters.parts() == self._asked * size:  # the last one is complete
                self._asked += 1
                self._lay_out(self._temporary(self._asked))
                self._counters.ask_checkpoint(self._asked)
            self._next = time.monotonic() + self._seconds
        asked = self._counters.checkpoint_asked()
        if asked > self._added:
            self._added = asked
            added = self._add_part(self._temporary(asked))
            if added and self._counters.count_part() == asked * size:
                publish(self._temporary(asked), self._path)

    def finish(self, *, wanted: bool) -> None:
        """A checkpoint of where all ranks have stopped, if it is wanted. Collective."""
        comm, temporary = self._counters.comm, self._temporary(0)
        comm.Barrier()
        if self._root:
            self._clear()
        if not wanted:
            return
        if self._root:
            self._lay_out(temporary)
        comm.Barrier()
        self._add_part(temporary)
        comm.Barrier()
        if self._root:
            publish(temporary, self._path)
        comm.Barrier()

    def _temporary(self, number: int) -> Path:
        return self._path.with_name(f".{self._path.name}.{number}.part")

    def _clear(self) -> None:
        """Remove what a run that was killed, or is over, has left half done."""
        pattern = re.compile(rf"\.{re.escape(self._path.name)}\.\d+\.part")
        for path in self._path.parent.iterdir():
            if pattern.fullmatch(path.name):
                path.unlink(missing_ok=True)


class Best:
    """A copy of the own blocks, as they were when rank 0 last found x to be the best so far."""

    def __init__(self, counters: AnyCounters, blocks: Callable[[], Mapping[int, Image]]) -> None:
        self._counters, self._read = counters, blocks
        self._asked = 0
        self.blocks = blocks()

    def look(self) -> None:
        """Renew the copy if that was asked for."""
        asked = self._counters.asked_to_keep()
        if asked > self._asked:
            self._asked, self.blocks = asked, self._read()


class LookingStop:
    """Another stop, before whose question some others look whether they have something to do."""

    def __init__(self, stop: Stop, looks: Sequence[Callable[[], None]]) -> None:
        self._stop, self._looks = stop, looks

    def __call__(self) -> bool:
        """The other's answer."""
        for look in self._looks:
            look()
        return self._stop()
