"""Copies of x while a run goes on: checkpoints on disk, and the best x in memory."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from asyncred.files.checkpoint import publish
from asyncred.files.whole import clear_partial, created
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
        self._token = counters.comm.bcast(secrets.token_hex(4))
        if self._root:
            clear_partial(path)

    def look(self) -> None:
        """Begin a checkpoint if it is time for one; add the own part to one that has begun."""
        size = self._counters.comm.size
        if self._root and time.monotonic() >= self._next:
            number = self._asked + 1
            if self._counters.parts() == self._asked * size and self._begin(number):
                self._asked = number
                self._counters.ask_checkpoint(number)
            self._next = time.monotonic() + self._seconds
        asked = self._counters.checkpoint_asked()
        if asked > self._added:
            self._added = asked
            added = self._add(self._temporary(asked))
            if added and self._counters.count_part() == asked * size:
                self._publish(self._temporary(asked))

    def finish(self, *, wanted: bool) -> bool:
        """A checkpoint of where all ranks have stopped, if it is wanted; whether there is one now.

        Collective.
        """
        comm, temporary = self._counters.comm, self._temporary(0)
        comm.Barrier()
        if self._root:
            clear_partial(self._path)
        if not wanted:
            return False
        begun = comm.bcast(self._begin(0) if self._root else None)
        if begun:
            self._add(temporary)
        comm.Barrier()
        done = begun and self._root and self._publish(temporary)
        return bool(comm.bcast(done))

    def _begin(self, number: int) -> bool:
        """Lay a checkpoint out; whether that was possible."""
        temporary = self._temporary(number)
        try:
            created(temporary, self._path)
            self._lay_out(temporary)
        except (OSError, RuntimeError, ValueError) as error:
            self._give_up(temporary, error)
            return False
        return True

    def _add(self, temporary: Path) -> bool:
        """Add the own part, if x is worth it; where it cannot be written nobody else's counts."""
        try:
            return self._add_part(temporary)
        except (OSError, ValueError) as error:
            if temporary.exists():
                self._give_up(temporary, error)
            return True

    def _publish(self, temporary: Path) -> bool:
        """Give a complete checkpoint its name; False where some part could not be written."""
        try:
            publish(temporary, self._path)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._give_up(temporary, error)
            return False
        return True

    def _give_up(self, temporary: Path, error: Exception) -> None:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        why = " ".join(str(error).split())
        print(
            f"!! {self._path}: no checkpoint could be written: {why}; the run goes on, and tries "
            f"again in {self._seconds / 60:.2g} minutes",
            file=sys.stderr,
            flush=True,
        )

    def _temporary(self, number: int) -> Path:
        return self._path.with_name(f".{self._path.name}.{self._token}{number:08x}.part")


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
